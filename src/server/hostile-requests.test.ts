import assert from "node:assert/strict";
import { type AddressInfo, connect } from "node:net";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import type { InjectOptions } from "fastify";
import { answerTo, projectFiles, serviceWithRun, startService, type TestService } from "../../test/service-fixture.ts";
import { createAuth } from "./auth.ts";

let server: TestService;
let runId: string;

before(async () => {
  ({ server, runId } = await serviceWithRun());
});
after(() => server.stop());

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
  const { status, body } = await answerTo(server, request);
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
