import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import type { InjectOptions } from "fastify";
import { projectFiles, startService, type TestService } from "../../test/service-fixture.ts";
import { tarHeader } from "../snapshot/tar-header.ts";
import { createAuth } from "./auth.ts";

let server: TestService;
let runId: string;

before(async () => {
  server = await startService({ started: false, jobPath: join(import.meta.dirname, "../../test/idle-job.ts") });
  runId = (await server.post({ command: ["run"], files: projectFiles() })).run.id;
});
after(() => server.stop());

async function answer(request: InjectOptions): Promise<{ status: number; body: string; code: string | undefined }> {
  const { statusCode, body } = await server.send(request);
  let code: string | undefined;
  if (statusCode >= 400) {
    const { error } = JSON.parse(body);
    assert.equal(typeof error.message, "string");
    assert.ok(error.message.length > 0 && error.message.length < 2000);
    assert.ok(!/\n\s+at |node:internal|\.ts:\d/.test(body), body);
    code = error.code;
  }
  return { status: statusCode, body, code };
}

test("open routes", async () => {
  assert.deepEqual((await server.send({ url: "/check" })).json(), { response: "Running dbt-server on port 80" });
  assert.equal((await server.send({ url: "/check/" })).statusCode, 200);
  assert.match((await server.send({ url: "/" })).body, /dbt-remote build/);
  const description = (await server.send({ url: "/openapi.json" })).json();
  assert.ok(Object.keys(description.paths).includes("/api/v1/runs/{ref}/log"));
  assert.ok(description.paths["/api/v1/runs"].post.requestBody);
  assert.match((await server.send({ url: "/docs" })).body, /swagger/i);
});

test("who may ask", async () => {
  const closed = await startService({ started: false, auth: createAuth("local", "right") });
  const send = (url: string, headers: Record<string, string>) => closed.send({ url, headers });
  try {
    assert.equal((await send("/api/v1/runs", {})).statusCode, 401);
    assert.equal((await send("/api/v1/runs", { authorization: "Bearer wrong" })).statusCode, 401);
    assert.equal((await send("/api/v1/runs?token=right", {})).statusCode, 401);
    assert.equal((await send("/api/v1/runs", { authorization: "Bearer right" })).statusCode, 200);
    for (const url of ["/check", "/", "/docs", "/api/v1/runs", "/nowhere"]) {
      assert.equal((await send(url, { host: "evil.org" })).statusCode, 403, url);
      assert.equal((await send(url, { origin: "http://evil.org" })).statusCode, 403, url);
    }
    assert.match((await send("/api/v1/proof?nonce=0123456789abcdef", {})).json().proof, /^[0-9a-f]{64}$/);
    assert.equal((await send("/api/v1/proof?nonce=x", {})).statusCode, 400);
    assert.equal((await send("/api/v1/proof", {})).statusCode, 400);
  } finally {
    await closed.stop();
  }
  assert.equal((await server.send({ url: "/api/v1/proof?nonce=0123456789abcdef" })).statusCode, 404);
});

test("what is wrong with a request is said, with a status of 4xx", async () => {
  const json = { "content-type": "application/json" };
  const bytes = { "content-type": "application/octet-stream" };
  const sha = "a".repeat(64);
  const bomb = gzipSync(tarHeader({ path: sha, mode: "100644", size: 2 ** 30, mtimeMs: 0 }));
  const cases: [InjectOptions, number, string][] = [
    [{ method: "POST", url: "/api/v1/runs", payload: "{", headers: json }, 400, "bad_request"],
    [{ method: "POST", url: "/api/v1/runs", payload: "", headers: json }, 400, "bad_request"],
    [
      {
        method: "POST",
        url: "/api/v1/runs",
        payload: "a=b",
        headers: { "content-type": "application/x-www-form-urlencoded" },
      },
      400,
      "bad_request",
    ],
    [{ method: "POST", url: "/api/v1/runs", payload: { command: "run" } }, 400, "bad_request"],
    [{ method: "POST", url: "/api/v1/runs", payload: { command: [1] } }, 400, "bad_request"],
    [{ method: "POST", url: "/api/v1/runs", payload: { command: ["run"], more: 1 } }, 400, "bad_request"],
    [
      { method: "POST", url: "/api/v1/runs", payload: '{"command":["run"],"__proto__":{"a":1}}', headers: json },
      400,
      "bad_request",
    ],
    [
      { method: "POST", url: "/api/v1/runs", payload: Buffer.alloc(50 * 1024 * 1024, " "), headers: json },
      413,
      "too_large",
    ],
    [
      {
        method: "POST",
        url: `/api/v1/runs/${runId}/cancel`,
        payload: Buffer.alloc(2 * 1024 * 1024, " "),
        headers: json,
      },
      413,
      "too_large",
    ],
    [{ method: "PUT", url: "/api/v1/snapshots/v1-1", payload: { put: [] } }, 400, "bad_request"],
    [
      { method: "PUT", url: `/api/v1/snapshots/v1-${sha}`, payload: { put: [["../a", "100644", sha, 1]] } },
      400,
      "path_outside",
    ],
    [
      { method: "PUT", url: `/api/v1/snapshots/v1-${sha}`, payload: { put: [["a", "040000", sha, 1]] } },
      400,
      "bad_request",
    ],
    [{ method: "POST", url: "/api/v1/packs", payload: "no pack", headers: bytes }, 400, "bad_request"],
    [{ method: "POST", url: "/api/v1/packs", payload: bomb, headers: bytes }, 413, "too_large"],
    [
      { method: "POST", url: "/api/v1/packs", payload: Buffer.alloc(1024 * 1024, 1), headers: bytes },
      400,
      "bad_request",
    ],
    [{ method: "POST", url: "/api/v1/packs", payload: {} }, 400, "bad_request"],
    [{ method: "PATCH", url: `/api/v1/contents/${sha}`, payload: "x", headers: bytes }, 400, "bad_request"],
    [
      {
        method: "PATCH",
        url: `/api/v1/contents/${sha}`,
        payload: "x",
        headers: { ...bytes, "content-range": "bytes 0-5/9" },
      },
      400,
      "bad_request",
    ],
    [
      {
        method: "PATCH",
        url: `/api/v1/contents/${sha}`,
        payload: "x",
        headers: { ...bytes, "content-range": "bytes 0-0/1" },
      },
      422,
      "blob_corrupt",
    ],
    [
      {
        method: "PATCH",
        url: `/api/v1/contents/${sha}`,
        payload: "x",
        headers: { ...bytes, "content-range": "bytes 7-7/9" },
      },
      416,
      "upload_offset",
    ],
    [{ url: `/api/v1/runs/${runId}/log?offset=-1` }, 400, "bad_request"],
    [{ url: `/api/v1/runs/${runId}/log?offset=1e99` }, 400, "bad_request"],
    [{ url: `/api/v1/runs/${runId}/log?offset=99999999999999999999` }, 400, "bad_request"],
    [{ url: `/api/v1/runs/${runId}/log?offset=1&offset=2` }, 400, "bad_request"],
    [{ url: `/api/v1/runs/${runId}/log?waitMs=999999` }, 400, "bad_request"],
    [{ url: `/api/v1/runs/${runId}/log`, headers: { "last-event-id": "x" } }, 400, "bad_request"],
    [{ url: "/api/v1/runs?since=yesterday" }, 400, "bad_request"],
    [{ url: "/api/v1/runs?since=%2B275760-09-12T00:00:00Z" }, 400, "bad_request"],
    [{ url: "/api/v1/runs?limit=0" }, 400, "bad_request"],
    [{ url: "/api/v1/runs?nothing=1" }, 400, "bad_request"],
    [{ url: "/api/v1/runs/99999" }, 404, "run_not_found"],
    [{ url: "/api/v1/runs/%00" }, 404, "run_not_found"],
    [{ url: "/api/v1/runs/..%2f..%2fetc" }, 404, "run_not_found"],
    [{ url: `/api/v1/runs/${"9".repeat(5000)}` }, 400, "bad_request"],
    [{ url: "/api/v1/runs/%zz" }, 400, "bad_request"],
    [{ url: "/api/v1/runs/11111111-1111-4111-8111-111111111111/log" }, 404, "run_not_found"],
    [{ url: `/api/v1/runs/${runId}/artifacts/..%2f..%2fx` }, 404, "artifact_not_found"],
    [{ url: `/api/v1/runs/${runId}/artifacts.tar.gz` }, 404, "artifact_not_found"],
    [{ url: "/nowhere" }, 404, "route_not_found"],
    [{ method: "DELETE", url: "/api/v1/runs" }, 404, "route_not_found"],
  ];
  for (const [request, status, code] of cases) {
    const what = `${request.method ?? "GET"} ${JSON.stringify(request.url).slice(0, 100)}`;
    const got = await answer(request);
    assert.deepEqual([got.status, got.code], [status, code], `${what}: ${got.body.slice(0, 300)}`);
  }
  assert.deepEqual(server.failures, []);
});

const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string(),
  fc.constantFrom("run", "..", "/etc/passwd", "run:latest", "@outside/x/../y", ""),
);
const anything = fc.anything({ maxDepth: 3, withNullPrototype: false });
const mutated = fc.record(
  {
    command: fc.oneof(fc.array(text, { maxLength: 4 }), anything),
    args: fc.oneof(fc.array(text, { maxLength: 4 }), anything),
    mode: fc.oneof(fc.constantFrom("project", "manifest"), anything),
    snapshotId: fc.oneof(fc.constant(`v1-${"0".repeat(64)}`), anything),
    files: fc.oneof(
      fc.constant(projectFiles()),
      fc.array(fc.record({ path: text, contentBase64: text }), { maxLength: 3 }),
      anything,
    ),
    projectDir: fc.oneof(text, anything),
    workspace: fc.oneof(fc.record({ name: text, checkout: text }), anything),
    envelope: fc.oneof(
      fc.record({ profiles: text, env: fc.dictionary(text, text), secretNames: fc.array(text) }, { requiredKeys: [] }),
      anything,
    ),
    inputs: fc.oneof(
      fc.array(fc.record({ path: text, sha256: fc.constant("a".repeat(64)), size: fc.integer() })),
      anything,
    ),
    options: fc.oneof(fc.record({ timeoutMs: fc.oneof(fc.double(), fc.integer(), fc.constant(null)) }), anything),
    noWait: anything,
  },
  { requiredKeys: ["command"] },
);

const FUZZ = { numRuns: 150, endOnFailure: true };

/** Some random requests happen to be right; none of them is the server's fault. */
async function neverFails(request: InjectOptions): Promise<void> {
  const { status, body } = await answer(request);
  assert.ok(status < 500, `${status} ${body}`);
}

test("no run request brings the server down", async () => {
  const payloadOf = (value: unknown): string => {
    try {
      return JSON.stringify(value, (_key, each: unknown) => (typeof each === "bigint" ? String(each) : each)) ?? "";
    } catch {
      return "{}";
    }
  };
  const headers = { "content-type": "application/json" };
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutated, anything), (body) =>
      neverFails({ method: "POST", url: "/api/v1/runs", payload: payloadOf(body), headers }),
    ),
    FUZZ,
  );
  assert.deepEqual(server.failures, []);
});

test("no path, query, header or pack brings it down", async () => {
  const part = fc.oneof(text.map(encoded), fc.constantFrom("runs", "latest", "log", "artifacts", "%2e%2e", runId));
  const url = fc
    .tuple(fc.array(part, { maxLength: 5 }), fc.webQueryParameters())
    .map(([parts, query]) => `/api/v1/${parts.join("/")}?${query}`);
  const method = fc.constantFrom(
    "GET" as const,
    "POST" as const,
    "PUT" as const,
    "PATCH" as const,
    "DELETE" as const,
    "HEAD" as const,
  );
  const ascii = fc.stringMatching(/^[\x20-\x7e]{0,60}$/);
  const headers = fc.record(
    {
      "last-event-id": ascii,
      "content-range": ascii,
      "idempotency-key": ascii,
      "x-dbt-remote-client": ascii,
      accept: fc.constantFrom("*/*", "text/plain", ""),
    },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(method, url, headers, async (verb, path, given) => {
      const { statusCode, body } = await server.send({
        method: verb,
        url: path,
        headers: given as Record<string, string>,
      });
      assert.ok(statusCode < 500, `${statusCode} ${body}`);
    }),
    FUZZ,
  );
  const octets = { "content-type": "application/octet-stream" };
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), fc.boolean(), (bytes, zipped) =>
      neverFails({
        method: "POST",
        url: "/api/v1/packs",
        payload: zipped ? gzipSync(bytes) : Buffer.from(bytes),
        headers: octets,
      }),
    ),
    FUZZ,
  );
  assert.deepEqual(server.failures, []);
});

function encoded(value: string): string {
  return encodeURIComponent(value.replace(/\p{Surrogate}/gu, "?"));
}

test("what is no HTTP is answered, and the next request is served", async () => {
  const open = await startService({ started: false, auth: createAuth("token", "t") });
  await open.app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = open.app.server.address() as AddressInfo;
  const raw = (bytes: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => socket.end(bytes));
      let got = "";
      socket.on("data", (chunk) => {
        got += chunk;
      });
      socket.on("close", () => resolve(got));
      // It is closed with bytes unread: what came before counts.
      socket.on("error", () => resolve(got));
    });
  try {
    assert.match(await raw("nonsense\r\n\r\n"), /^HTTP\/1\.1 400/);
    assert.match(
      await raw(`GET /check HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(100_000)}\r\n\r\n`),
      /^(HTTP\/1\.1 431|$)/,
    );
    assert.match(await raw("GET /check HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), /^HTTP\/1\.1 200/);
    const huge =
      "POST /api/v1/packs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\nContent-Type: application/octet-stream\r\n";
    assert.match(await raw(`${huge}Content-Length: 10\r\n\r\nabc`), /^(HTTP\/1\.1 400|$)/);
    assert.match(await raw("GET /check HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), /^HTTP\/1\.1 200/);
  } finally {
    await open.stop();
  }
});
