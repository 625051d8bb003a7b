import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import type { InjectOptions } from "fastify";
import { answerTo, serviceWithRun, startService, type TestService } from "../../test/service-fixture.ts";
import { tarHeader } from "../snapshot/tar-header.ts";
import { createAuth } from "./auth.ts";

let server: TestService;
let runId: string;

before(async () => {
  ({ server, runId } = await serviceWithRun());
});
after(() => server.stop());

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
    const got = await answerTo(server, request);
    assert.deepEqual([got.status, got.code], [status, code], `${what}: ${got.body.slice(0, 300)}`);
  }
  assert.deepEqual(server.failures, []);
});
