import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createWriteStream, lstatSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough, Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { pack } from "tar-stream";
import { AppError } from "../core/errors.ts";
import type { SnapshotEntry } from "./entry.ts";
import { sha256Of } from "./hash.ts";
import { contentPack, type PackInput, packStream, planPacks, writePack } from "./pack.ts";
import { type PackLimits, readPack } from "./read-pack.ts";

const LIMITS: PackLimits = { maxEntries: 10_000, maxBytes: 100_000_000, maxEntryBytes: 50_000_000 };

const file = (name: string, text: string | Buffer, mode: "100644" | "100755" = "100644"): PackInput => {
  const content = Buffer.from(text);
  return { path: name, mode, size: content.length, content };
};
const link = (name: string, text: string): PackInput => ({
  path: name,
  mode: "120000",
  size: Buffer.byteLength(text),
  content: Buffer.from(text),
});

async function bytesOf(
  inputs: readonly PackInput[],
): Promise<{ bytes: Buffer; index: Awaited<ReturnType<typeof writePack>> }> {
  const { stream, index } = packStream(inputs);
  return { bytes: Buffer.concat(await stream.toArray()), index };
}

async function unpack(bytes: Buffer | Readable, limits = LIMITS): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const source = Buffer.isBuffer(bytes) ? Readable.from([bytes]) : bytes;
  for await (const item of readPack(source, limits))
    found.set(`${item.path} ${item.mode}`, item.link ?? (await item.bytes()).toString("latin1"));
  return found;
}

const long = `${"folder/".repeat(30)}${"x".repeat(150)}.sql`;
const SAMPLE: PackInput[] = [
  { ...file("target/manifest.json", "{}"), mtimeMs: 1_700_000_000_000 },
  file("empty", ""),
  file("scripts/run.sh", "#!/bin/sh", "100755"),
  file("models/ünï/😀 b.sql", "select 'é'"),
  file(long, "long"),
  file(`${"d".repeat(99)}/${"e".repeat(99)}/f`, "medium"),
  link("a-link", "models/ünï/😀 b.sql"),
  link("deep/link", `../${long}`),
  file("block", "b".repeat(512)),
  file("big", randomBytes(3_000_000)),
];

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

type TarHeader = Parameters<ReturnType<typeof pack>["entry"]>[0];

/** An archive made by another hand. */
async function archive(...entries: readonly (readonly [TarHeader, string?])[]): Promise<Buffer> {
  const tar = pack();
  for (const [header, text] of entries) tar.entry(header, text ?? "");
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return gzipSync(Buffer.concat(chunks));
}

test("an honest archive of another hand is read, its folders passed over", async () => {
  const bytes = await archive(
    [{ name: "./", type: "directory" }],
    [{ name: "a/", type: "directory" }],
    [{ name: "./a/b.sql" }, "1"],
    [{ name: "a/c", type: "symlink", linkname: "b.sql" }],
  );
  assert.deepEqual(
    await unpack(bytes),
    new Map([
      ["a/b.sql 100644", "1"],
      ["a/c 120000", "b.sql"],
    ]),
  );
});

const HOSTILE: Record<string, readonly (readonly [TarHeader, string?])[]> = {
  "an absolute path": [[{ name: "/etc/cron.d/x" }, "1"]],
  "a path that climbs": [[{ name: "../x" }, "1"]],
  "a path that climbs later": [[{ name: "a/../../x" }, "1"]],
  "a long path that climbs": [[{ name: `${"a/".repeat(100)}${"../".repeat(101)}x` }, "1"]],
  "a folder that climbs": [[{ name: "../x/", type: "directory" }]],
  "a backslash": [[{ name: "a\\..\\b" }, "1"]],
  "a hard link": [[{ name: "a" }, "1"], [{ name: "b", type: "link", linkname: "a" }]],
  "a device": [[{ name: "a", type: "character-device", devmajor: 1, devminor: 3 }]],
  "a block device": [[{ name: "a", type: "block-device" }]],
  "a pipe": [[{ name: "a", type: "fifo" }]],
  "a link outside": [[{ name: "a", type: "symlink", linkname: "../../etc" }]],
  "an absolute link": [[{ name: "a", type: "symlink", linkname: "/etc/passwd" }]],
  "a file under a link": [[{ name: "a", type: "symlink", linkname: "b" }], [{ name: "a/x" }, "1"]],
  "a file in a link's place": [[{ name: "a", type: "symlink", linkname: "b" }], [{ name: "a" }, "1"]],
  "a path twice": [
    [{ name: "a" }, "1"],
    [{ name: "./a" }, "2"],
  ],
  "a folder as a file": [
    [{ name: "a/b" }, "1"],
    [{ name: "a" }, "2"],
  ],
  "a sparse file": [[{ name: "a", pax: { "GNU.sparse.major": "1", "GNU.sparse.size": "9" } }, "1"]],
};
for (const [what, entries] of Object.entries(HOSTILE))
  test(`an archive with ${what} is refused`, async () => {
    await assert.rejects(
      unpack(await archive(...entries)),
      (error) => error instanceof AppError && error.status === 400,
    );
  });

test("limits hold: files, bytes, bytes of one file, and bombs that hide outside the files", async () => {
  const { bytes } = await bytesOf([file("a", "1"), file("b", "x".repeat(1000))]);
  await assert.rejects(unpack(bytes, { ...LIMITS, maxEntries: 1 }), { code: "too_large" });
  await assert.rejects(unpack(bytes, { ...LIMITS, maxBytes: 1000 }), { code: "too_large" });
  await assert.rejects(unpack(bytes, { ...LIMITS, maxEntryBytes: 999 }), { code: "too_large" });
  const small = { maxEntries: 10, maxBytes: 1000, maxEntryBytes: 1000 };
  const zeros = gzipSync(Buffer.alloc(50_000_000));
  await assert.rejects(unpack(zeros, small), { code: "too_large" });
  const comment = await archive([{ name: "a", pax: { comment: "x".repeat(3_000_000) } }, "1"]);
  await assert.rejects(unpack(comment, small), { code: "too_large" });
});

test("what is broken is an error, never a short answer", async () => {
  const { bytes } = await bytesOf(SAMPLE);
  for (let i = 1; i < 20; i++) {
    const cut = bytes.subarray(0, Math.floor((bytes.length * i) / 20));
    await assert.rejects(unpack(cut), { code: "bad_request" }, `cut at ${cut.length}`);
  }
  const flipped = Buffer.from(bytes);
  flipped.writeUInt8(flipped.readUInt8(bytes.length - 3_000) ^ 0xff, bytes.length - 3_000);
  await assert.rejects(unpack(flipped), { code: "bad_request" });
  await assert.rejects(unpack(Buffer.from("no gzip at all")), { code: "bad_request" });
  await assert.rejects(unpack(gzipSync(Buffer.from("no tar at all".repeat(100)))), { code: "bad_request" });
  await assert.rejects(unpack(Buffer.alloc(0)), { code: "bad_request" });
});

test("random bytes are refused or read, but nothing else", async () => {
  const { bytes } = await bytesOf(SAMPLE.slice(0, 8));
  const tar = gunzipSync(bytes);
  await fc.assert(
    fc.asyncProperty(fc.nat(tar.length - 1), fc.nat(255), async (at, value) => {
      const spoilt = Buffer.from(tar);
      spoilt.writeUInt8(value, at);
      await unpack(gzipSync(spoilt, { level: 1 })).catch((error) => {
        assert.ok(error instanceof AppError && error.status < 500, String(error));
      });
    }),
    { numRuns: 100 },
  );
});

test("an error of the source is passed on as it is, at whatever moment", async () => {
  const { bytes } = await bytesOf(SAMPLE);
  for (const at of [0, 100, bytes.length / 2, bytes.length]) {
    const source = new PassThrough();
    source.write(bytes.subarray(0, at));
    setImmediate(() => source.destroy(new Error("connection reset")));
    await assert.rejects(unpack(source), { message: "connection reset" });
  }
});

test("files may be left unread, read in part, or the rest left alone", async () => {
  const { bytes } = await bytesOf(SAMPLE);
  const names: string[] = [];
  for await (const item of readPack(Readable.from([bytes]), LIMITS)) {
    names.push(item.path);
    if (item.path === "target/manifest.json") continue;
    if (item.path === "big") item.content.read(1);
  }
  assert.equal(names.length, SAMPLE.length);
  for await (const item of readPack(Readable.from([bytes]), LIMITS)) if (item.path === "block") break;
});
