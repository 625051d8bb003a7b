import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createWriteStream, lstatSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { bytesOf, file, link, SAMPLE, unpack } from "../../test/sample-packs.ts";
import type { SnapshotEntry } from "./entry.ts";
import { sha256Of } from "./hash.ts";
import { contentPack, planPacks, writePack } from "./pack.ts";

function folder(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), "pack-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test("any tar reads a pack", async (t) => {
  const dir = folder(t);
  const index = await writePack(SAMPLE, createWriteStream(path.join(dir, "p.tar.gz")));
  assert.equal(index.length, SAMPLE.length);
  mkdirSync(path.join(dir, "out"));
  const told = execFileSync("tar", ["xzf", "p.tar.gz", "-C", "out"], { cwd: dir, stdio: ["ignore", "pipe", "pipe"] });
  assert.equal(told.toString(), "");
  for (const { path: name, mode, content } of SAMPLE) {
    const place = path.join(dir, "out", name);
    if (mode === "120000") assert.equal(readlinkSync(place), Buffer.from(content as Buffer).toString());
    else assert.deepEqual(readFileSync(place), content, name);
    if (mode === "100755") assert.ok((lstatSync(place).mode & 0o111) !== 0);
  }
  assert.equal(lstatSync(path.join(dir, "out/target/manifest.json")).mtimeMs, 1_700_000_000_000);
});

test("each file can be read by itself from where the index says", async () => {
  const { bytes, index } = await bytesOf(SAMPLE);
  for (const [i, { path: name, mode, size, sha256, offset, length }] of index.entries()) {
    const input = SAMPLE[i];
    assert.deepEqual([name, mode, size], [input?.path, input?.mode, input?.size]);
    if (mode === "120000") continue;
    const content = gunzipSync(bytes.subarray(offset, offset + length));
    assert.deepEqual(content, input?.content);
    assert.equal(sha256, sha256Of(content));
  }
});

test("what is packed is what is read, whatever the names and contents", async () => {
  const name = fc
    .array(fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 8 })
    .map((parts) => parts.join("/"))
    .filter((text) => !/\\|\0|(^|\/)\.{0,2}(\/|$)|^[A-Za-z]:/.test(text));
  const content = fc.oneof(
    fc.string(),
    fc.integer({ min: 0, max: 2000 }).map((size) => "z".repeat(size)),
  );
  const inputs = fc
    .array(fc.tuple(name, content, fc.constantFrom("100644" as const, "100755" as const)), { maxLength: 8 })
    .map((rows) => rows.map(([n, c, m], i) => file(`${i}${n}`, Buffer.from(c), m)));
  await fc.assert(
    fc.asyncProperty(inputs, async (files) => {
      const { bytes } = await bytesOf(files);
      const expected = new Map(
        files.map((f) => [`${f.path} ${f.mode}`, Buffer.from(f.content as Buffer).toString("latin1")]),
      );
      assert.deepEqual(await unpack(bytes), expected);
    }),
    { numRuns: 60 },
  );
});

test("a pack for upload names contents by their hash, each once", async () => {
  const contents = ["one", "two", "", "one", "x".repeat(2_000_000)];
  const entries = contents.map(
    (text, i): SnapshotEntry => ({ path: `f${i}`, mode: "100644", sha256: sha256Of(text), size: text.length }),
  );
  const plan = planPacks(entries);
  assert.equal(plan.packs.length, 1);
  const [group = []] = plan.packs;
  assert.equal(group.length, 4);
  const packed = contentPack(group, (entry) => Buffer.from(contents[entries.indexOf(entry)] ?? ""));
  const read = await unpack(packed);
  assert.deepEqual(
    [...read.keys()],
    group.map(({ sha256 }) => `${sha256} 100644`),
  );
  for (const [key, text] of read) assert.equal(sha256Of(Buffer.from(text, "latin1")), key.slice(0, 64));
});

test("packs stay below 16 MB, and what is over 8 MB travels alone", async () => {
  const sizes = [
    9_000_000,
    8_000_000,
    7_999_999,
    8_000_000,
    100_000_000,
    1,
    0,
    ...Array.from({ length: 3000 }, () => 5000),
  ];
  const entries = sizes.map(
    (size, i): SnapshotEntry => ({ path: `f${i}`, mode: "100644", sha256: sha256Of(String(i)), size }),
  );
  const { packs, large } = planPacks(entries);
  assert.deepEqual(
    large.map(({ size }) => size),
    [9_000_000, 100_000_000],
  );
  assert.equal(packs.flat().length, entries.length - 2);
  for (const group of packs) {
    let sent = 0;
    for await (const chunk of contentPack(group, ({ size }) => randomBytes(size), { level: 1 })) sent += chunk.length;
    assert.ok(sent <= 16_000_000, `${sent}`);
  }
});

test("a file that does not have the size it was said to have is an error", async () => {
  for (const size of [2, 4]) {
    const input = { ...file("a", "abc"), size };
    await assert.rejects(bytesOf([input]), { code: "project_changed" });
    await assert.rejects(contentPack([{ ...input, sha256: "x" }], () => Buffer.from("abc")).toArray(), {
      code: "project_changed",
    });
  }
  const big = { ...file("a", Buffer.alloc(2_000_000)), content: Readable.from([Buffer.alloc(1_999_999)]) };
  await assert.rejects(bytesOf([big]), { code: "project_changed" });
});

for (const bad of ["../a", "/a", "a/../b", "", "a\\b"])
  test(`the path ${JSON.stringify(bad)} is not packed`, async () => {
    await assert.rejects(bytesOf([file(bad, "")]), { code: "path_outside" });
  });

test("a link that leaves, or a path twice, is not packed", async () => {
  await assert.rejects(bytesOf([link("a", "../b")]), { code: "path_outside" });
  await assert.rejects(bytesOf([file("a", "1"), file("a", "2")]), { code: "path_outside" });
});
