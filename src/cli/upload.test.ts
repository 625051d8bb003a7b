import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { after, test } from "node:test";
import { createClient } from "../api/client.ts";
import { type SnapshotEntry, snapshotId } from "../snapshot/entry.ts";
import { readPack } from "../snapshot/read-pack.ts";
import { postRun, type Sendable } from "./upload.ts";

const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  return Buffer.concat((await request.toArray()) as Buffer[]);
}

/** As much of a server as an upload needs; loses the answer to every third part. */
async function fakeServer() {
  const contents = new Map<string, Buffer>();
  const uploads = new Map<string, Buffer>();
  const snapshots = new Map<string, [string, string, string, number][]>();
  const log: string[] = [];
  let parts = 0;
  const server = createServer((request, response) => {
    void (async () => {
      const { method, url = "" } = request;
      const body = await bodyOf(request);
      const answer = (status: number, data: unknown) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(data));
      };
      const refuse = (status: number, code: string, details = {}) =>
        answer(status, { error: { code, message: code, details } });
      if (url.endsWith("/runs")) {
        const posted = JSON.parse(body.toString());
        log.push(`post ${request.headers["idempotency-key"]}`);
        const rows = snapshots.get(posted.snapshotId);
        if (rows === undefined) return refuse(409, "snapshot_unknown");
        const wanted = [
          ...rows.map((row) => row[2]),
          ...posted.inputs.map((input: { sha256: string }) => input.sha256),
        ];
        const missing = wanted.filter((hash) => !contents.has(hash));
        return missing.length > 0
          ? refuse(409, "blobs_missing", { missing })
          : answer(202, { run: { id: "1" }, created: true });
      }
      if (method === "PUT") {
        const { base, put, remove = [] } = JSON.parse(body.toString());
        log.push(base === undefined ? "whole" : "delta");
        if (base !== undefined && !snapshots.has(base)) return refuse(409, "snapshot_base_unknown");
        const rows = (snapshots.get(base) ?? []).filter(([path]) => !remove.includes(path));
        const all = [...rows.filter(([path]) => !put.some((row: string[]) => row[0] === path)), ...put];
        snapshots.set(url.split("/").at(-1) ?? "", all);
        return answer(200, { id: "", missing: all.map((row) => row[2]).filter((hash) => !contents.has(hash)) });
      }
      if (url.endsWith("/packs")) {
        assert.ok(body.length <= 16 * 1024 * 1024);
        const limits = { maxEntries: 1e6, maxBytes: 1e9, maxEntryBytes: 1e9 };
        for await (const item of readPack(Readable.from([body], { objectMode: false }), limits))
          contents.set(item.path, await item.bytes());
        log.push("pack");
        return answer(200, { stored: 1 });
      }
      const hash = url.split("/").at(-1) ?? "";
      const before = uploads.get(hash) ?? Buffer.alloc(0);
      if (method === "PATCH") {
        const [, first, , total] = /bytes (\d+)-(\d+)\/(\d+)/.exec(request.headers["content-range"] ?? "") ?? [];
        if (Number(first) !== before.length) return refuse(416, "upload_offset", { offset: before.length });
        const now = Buffer.concat([before, body]);
        uploads.set(hash, now);
        log.push(`part ${first}`);
        if (now.length === Number(total)) contents.set(sha(now), now);
        parts += 1;
        if (parts % 3 === 2) return void response.destroy();
        return answer(200, { offset: now.length, complete: contents.has(hash) });
      }
      return answer(200, { offset: before.length, complete: contents.has(hash) });
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  const client = createClient({
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    retryDelaysMs: [1],
  });
  return { client, contents, snapshots, log };
}

function sendable(
  files: Record<string, Buffer>,
  memory: Map<string, { id: string; entries: readonly SnapshotEntry[] }>,
): Sendable {
  const entries = Object.entries(files)
    .sort()
    .map(([path, bytes]): SnapshotEntry => ({ path, mode: "100644", sha256: sha(bytes), size: bytes.length }));
  return {
    id: snapshotId(entries),
    entries,
    open: ({ path }, offset = 0) => (files[path] ?? Buffer.alloc(0)).subarray(offset),
    cache: {
      lastSnapshot: (key) => memory.get(key),
      rememberSnapshot: (key, { id, entries: kept }) => void memory.set(key, { id, entries: kept }),
    },
  };
}

test("sends what is missing, and only that; large files in parts, wherever answers are lost", async () => {
  const server = await fakeServer();
  const memory = new Map();
  const files: Record<string, Buffer> = {
    a: Buffer.from("a"),
    b: Buffer.from("b"),
    big: Buffer.alloc(50_000_000, "0123456789"),
  };
  const post = async (key: string) => {
    const snapshot = sendable(files, memory);
    const seen: number[] = [];
    await postRun({
      client: server.client,
      request: { command: ["run"], snapshotId: snapshot.id, inputs: [] },
      idempotencyKey: key,
      snapshot,
      inputs: [],
      signal: new AbortController().signal,
      progress: (sent, total) => {
        seen.push(sent);
        assert.ok(sent <= total);
      },
      posting: () => undefined,
      refused: () => undefined,
    });
    return { seen, log: server.log.splice(0) };
  };
  const first = await post("k1");
  const parts = Array.from({ length: Math.ceil(50_000_000 / 2 ** 22) }, (_, part) => `part ${part * 2 ** 22}`);
  assert.deepEqual(first.log, ["post k1", "whole", "pack", ...parts, "post k1"]);
  assert.equal(first.seen.at(-1), 50_000_002);
  assert.deepEqual(server.contents.get(sha(files["big"] ?? Buffer.alloc(0))), files["big"]);
  assert.deepEqual((await post("k2")).log, ["post k2"]);
  files["b"] = Buffer.from("bb");
  assert.deepEqual((await post("k3")).log, ["post k3", "delta", "pack", "post k3"]);
  server.snapshots.clear();
  files["c"] = Buffer.from("c");
  assert.deepEqual((await post("k4")).log, ["post k4", "delta", "whole", "pack", "post k4"]);
});
