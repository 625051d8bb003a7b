import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { pack } from "tar-stream";
import { bytesOf, file, LIMITS, SAMPLE, unpack } from "../../test/sample-packs.ts";
import { AppError } from "../core/errors.ts";
import { readPack } from "./read-pack.ts";

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
