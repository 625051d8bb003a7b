import assert from "node:assert/strict";
import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { entriesOf, restoreBench, treeOf } from "../../test/restore-bench.ts";
import { AppError } from "../core/errors.ts";
import type { SnapshotEntry } from "./entry.ts";
import { sha256Of } from "./hash.ts";

test("nothing is ever written or removed through a link out of the root", async (t) => {
  const { bring, root, outside, file } = restoreBench(t);
  writeFileSync(path.join(outside, "a.sql"), "precious");
  await bring({ "models/a.sql": "1", "models/b.sql": "2", "x.sql": "3" });
  rmSync(file("models"), { recursive: true });
  symlinkSync(outside, file("models"));
  unlinkSync(file("x.sql"));
  symlinkSync(path.join(outside, "new.sql"), file("x.sql"));
  await bring({ "x.sql": "4", "models/c.sql": "5" });
  assert.deepEqual(treeOf(root), { "x.sql": "4", "models/c.sql": "5" });
  rmSync(file("models"), { recursive: true });
  symlinkSync(outside, file("models"));
  await bring({ "x.sql": "4" });
  assert.deepEqual(treeOf(outside), { "a.sql": "precious" });
});

test("another name of a file in the root is not written through either", async (t) => {
  const { bring, outside, file } = restoreBench(t);
  await bring({ "a.sql": "one" });
  linkSync(file("a.sql"), path.join(outside, "a.sql"));
  await bring({ "a.sql": "two" });
  assert.equal(readFileSync(path.join(outside, "a.sql"), "utf8"), "one");
});

for (const [what, entry, content, code] of [
  ["path that climbs", { path: "../x" }, "1", "path_outside"],
  ["absolute path", { path: "/x" }, "1", "path_outside"],
  ["link that leaves", { mode: "120000" }, "../../etc", "path_outside"],
  ["content of another hash", { sha256: sha256Of("other") }, "1", "blob_corrupt"],
  ["content that is too long", { size: 0 }, "1", "blob_corrupt"],
  ["content that is too short", { size: 2 }, "1", "blob_corrupt"],
  ["big content of another hash", { sha256: sha256Of("other") }, "x".repeat(2_000_000), "blob_corrupt"],
] as const)
  test(`a ${what} is refused and leaves nothing behind`, async (t) => {
    const { bring, root, outside } = restoreBench(t);
    const next: SnapshotEntry = {
      path: "a",
      mode: "100644",
      sha256: sha256Of(content),
      size: Buffer.byteLength(content),
      ...entry,
    };
    const source = () => ({ read: async () => Readable.from([Buffer.from(content)]) });
    await assert.rejects(
      bring({}, { next: [next], source }),
      (error) => error instanceof AppError && error.code === code,
    );
    assert.deepEqual(treeOf(root), {});
    assert.deepEqual(treeOf(outside), {});
  });

test("a warehouse file is never touched, whatever the snapshot says", async (t) => {
  const { bring, root, file } = restoreBench(t);
  const protect = ["data/dev.duckdb"];
  mkdirSync(file("data"), { recursive: true });
  writeFileSync(file("data/dev.duckdb"), "warehouse");
  writeFileSync(file("data/dev.duckdb.wal"), "wal");
  const standing = { "data/dev.duckdb": "warehouse", "data/dev.duckdb.wal": "wal" };
  await bring({ "data/dev.duckdb": "sent", "a.sql": "1" }, { protect });
  assert.deepEqual(treeOf(root), { ...standing, "a.sql": "1" });
  const previous = entriesOf({ "data/dev.duckdb": "sent", "data/dev.duckdb.wal": "sent", "a.sql": "1" });
  await bring({}, { protect, previous });
  assert.deepEqual(treeOf(root), standing);
  await assert.rejects(bring({ data: "a file" }, { protect }), { code: "bad_project", message: /data\/dev\.duckdb/ });
  await assert.rejects(bring({ "data/dev.duckdb/x": "" }, { protect }), { code: "bad_project" });
  assert.deepEqual(treeOf(root), standing);
});
