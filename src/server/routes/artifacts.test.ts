import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../../test/folders.ts";
import { type HttpStandIn, startHttpStandIn } from "../../../test/http-stand-in.ts";
import { projectFiles, startService } from "../../../test/service-fixture.ts";
import { createClient } from "../../api/client.ts";

const SIGNED = "https://storage.googleapis.com/b/o?X-Goog-Signature=abc";
const MB = 1024 * 1024;

test("what is large is fetched from State itself where that is configured, and passed on where it can't be signed", async () => {
  const idle = { started: false, jobPath: join(root, "test/idle-job.ts") };
  const server = await startService({ ...idle, settings: { signedDownloads: true } });
  try {
    const packOf = async (bytes: number) => {
      const { run } = await server.post({ command: ["run"], files: projectFiles() });
      const content = randomBytes(bytes);
      await server.stores.artifacts.putPack({ runId: run.id, name: "target", content, index: [] });
      return { content, get: () => server.send({ url: `/api/v1/runs/${run.id}/artifacts.tar.gz` }) };
    };
    const asked: string[] = [];
    const sign = async (name: string, fileName: string) => {
      asked.push(`${name} ${fileName}`);
      return SIGNED;
    };
    Object.assign(server.state.blobs, { downloadUrl: sign });
    const small = await packOf(8 * MB);
    assert.equal((await small.get()).statusCode, 200);
    const large = await packOf(8 * MB + 1);
    const redirect = await large.get();
    assert.equal(redirect.statusCode, 302);
    assert.equal(redirect.headers.location, SIGNED);
    assert.equal(redirect.headers["cache-control"], "no-store");
    assert.equal(asked.length, 1);
    assert.match(asked[0] ?? "", /^runs\/.*\/target\.tar\.gz run-2\.tar\.gz$/);

    Object.assign(server.state.blobs, { downloadUrl: () => Promise.reject(new Error("nobody signs")) });
    const passed = await large.get();
    assert.equal(passed.statusCode, 200);
    assert.ok(passed.rawPayload.equals(large.content));
    assert.equal(server.failures.length, 1);

    // Cloud Run would refuse an answer that says it is longer than 32 MiB.
    const huge = await (await packOf(25 * MB)).get();
    assert.equal(huge.headers["content-length"], undefined);
    assert.equal(huge.rawPayload.length, 25 * MB);
  } finally {
    await server.stop();
  }
});

test("a client follows to where a download lies, without its token, and nowhere else", async () => {
  const elsewhere = await startHttpStandIn(() => ({ body: "the pack" }));
  let location = `${elsewhere.url}/signed`;
  const server = await startHttpStandIn(() => ({ status: 302, headers: { location } }));
  const stands: readonly HttpStandIn[] = [elsewhere, server];
  try {
    const client = createClient({ baseUrl: server.url, token: "secret-token", retryDelaysMs: [] });
    const parts: Uint8Array[] = [];
    for await (const part of await client.artifactPack("r")) parts.push(part);
    assert.equal(Buffer.concat(parts).toString(), "the pack");
    assert.equal(server.seen[0]?.headers["authorization"], "Bearer secret-token");
    assert.equal(elsewhere.seen[0]?.url, "/signed");
    assert.equal(elsewhere.seen[0]?.headers["authorization"], undefined);
    await assert.rejects(client.run("r"), { code: "server_unreachable" });
    location = "http://192.0.2.1/internal";
    await assert.rejects(client.artifactPack("r"), /a redirect to http:\/\/192\.0\.2\.1/);
  } finally {
    for (const each of stands) await each.close();
  }
});
