import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { AppError } from "../../src/core/errors.ts";
import type { HarnessOf } from "./state-contract.ts";
import { bytesOf, codeIs, newFile, sha256, until } from "./state-test-data.ts";

export function contentsContract(harnessOf: HarnessOf): void {
  const contents = () => harnessOf().state.contents;

  describe("contents", () => {
    test("what was put is there, for every handle", async () => {
      const file = newFile();
      const absent = newFile();
      assert.deepEqual(await contents().missing([file.sha256]), [file.sha256]);
      await contents().put(file.sha256, file.bytes);
      await contents().put(file.sha256, file.bytes);
      const other = await harnessOf().reopen();
      assert.deepEqual(await other.contents.missing([file.sha256, absent.sha256, file.sha256]), [absent.sha256]);
      assert.deepEqual(await bytesOf(await other.contents.read(file.sha256)), file.bytes);
      assert.equal(await other.contents.read(absent.sha256), undefined);
    });

    test("the empty file and a stream", async () => {
      await contents().put(sha256(""), Buffer.alloc(0));
      assert.deepEqual(await bytesOf(await contents().read(sha256(""))), Buffer.alloc(0));
      const file = newFile(300_000);
      await contents().put(file.sha256, Readable.from([file.bytes.subarray(0, 1000), file.bytes.subarray(1000)]));
      assert.deepEqual(await bytesOf(await contents().read(file.sha256)), file.bytes);
    });

    test("bytes with another hash are refused and not kept, also where the content is there", async () => {
      const file = newFile();
      const wrong = newFile();
      await assert.rejects(contents().put(file.sha256, wrong.bytes), codeIs("blob_corrupt"));
      assert.deepEqual(await contents().missing([file.sha256, wrong.sha256]), [file.sha256, wrong.sha256]);
      await contents().put(file.sha256, file.bytes);
      await assert.rejects(contents().put(file.sha256, Readable.from([wrong.bytes])), codeIs("blob_corrupt"));
      assert.deepEqual(await bytesOf(await contents().read(file.sha256)), file.bytes);
    });

    test("only hashes are names", async () => {
      for (const name of ["", "..", "../../x", "A".repeat(64), "a".repeat(63), `${"a".repeat(64)}/x`]) {
        await assert.rejects(contents().put(name, Buffer.from("x")), codeIs("bad_argument"));
        await assert.rejects(contents().read(name), codeIs("bad_argument"));
        await assert.rejects(contents().missing([name]), codeIs("bad_argument"));
        await assert.rejects(contents().appendUpload(name, 0, Buffer.from("x")), codeIs("bad_argument"));
      }
    });

    test("many puts of one content at once", async () => {
      const file = newFile(10_000);
      await Promise.all(Array.from({ length: 8 }, () => contents().put(file.sha256, file.bytes)));
      assert.deepEqual(await bytesOf(await contents().read(file.sha256)), file.bytes);
    });

    test("many at once: all are there for every handle, whole up to the first that is not what it says", async () => {
      const files = [newFile(0), newFile(), newFile(40_000), newFile(3_000_000), newFile(5)];
      const [empty, first] = files;
      async function* incoming(wrong?: string) {
        for (const { sha256, bytes } of files) {
          const content = bytes.length % 2 === 0 ? bytes : Readable.from([bytes], { objectMode: false });
          yield { sha256: sha256 === wrong ? newFile().sha256 : sha256, size: bytes.length, content };
        }
      }
      const third = files[2]?.sha256;
      await assert.rejects(contents().putMany(incoming(third)), codeIs("blob_corrupt"));
      const hashes = files.map(({ sha256 }) => sha256);
      assert.deepEqual(await contents().missing(hashes), hashes.slice(2));
      assert.equal(await contents().putMany(incoming()), files.length);
      assert.equal(await contents().putMany(incoming()), files.length);
      const other = await harnessOf().reopen();
      for (const reader of [contents(), other.contents]) {
        assert.deepEqual(await reader.missing(hashes), []);
        for (const { sha256, bytes } of files) assert.deepEqual(await bytesOf(await reader.read(sha256)), bytes);
      }
      // One by one, too, each can go.
      assert.equal(await other.contents.remove(first?.sha256 ?? "", Date.now() + 60_000), true);
      assert.deepEqual(await other.contents.missing(hashes), [first?.sha256]);
      assert.deepEqual(await bytesOf(await other.contents.read(empty?.sha256 ?? "")), empty?.bytes);
    });

    test("removeMany takes what is old, and tells what went", async () => {
      const files = Array.from({ length: 6 }, () => newFile(1000));
      await contents().putMany(
        (async function* () {
          for (const { sha256, bytes } of files) yield { sha256, size: bytes.length, content: bytes };
        })(),
      );
      const hashes = files.map(({ sha256 }) => sha256);
      assert.deepEqual(await contents().removeMany(hashes, Date.now() - 60_000), []);
      const wanted = hashes.slice(1);
      const removed = await contents().removeMany([...wanted, newFile().sha256], Date.now() + 60_000);
      assert.deepEqual(removed.sort(), wanted.sort());
      assert.deepEqual((await contents().missing(hashes)).sort(), wanted);
      assert.deepEqual(await bytesOf(await contents().read(hashes[0] ?? "")), files[0]?.bytes);
    });

    test("localPath is a true file or undefined", async () => {
      const file = newFile();
      assert.equal(contents().localPath(file.sha256), undefined);
      await contents().put(file.sha256, file.bytes);
      const path = contents().localPath(file.sha256);
      if (path !== undefined) assert.deepEqual(readFileSync(path), file.bytes);
    });

    test("list pages through all, in order", async () => {
      const files = Array.from({ length: 12 }, () => newFile());
      for (const file of files) await contents().put(file.sha256, file.bytes);
      const found: string[] = [];
      for (;;) {
        const after = found.at(-1);
        const page = await contents().list({ limit: 5, ...(after !== undefined && { after }) });
        found.push(...page.map(({ name }) => name));
        for (const { name, size } of page) if (files.some((file) => file.sha256 === name)) assert.equal(size, 100);
        if (page.length < 5) break;
      }
      assert.deepEqual(found, [...new Set(found)].sort());
      for (const file of files) assert.ok(found.includes(file.sha256));
    });

    test("remove spares what was touched since", async () => {
      const file = newFile();
      await contents().put(file.sha256, file.bytes);
      const infoOf = async () => (await contents().list()).find(({ name }) => name === file.sha256);
      const written = (await infoOf())?.modifiedAtMs ?? 0;
      await until("a later touch", async () => {
        await contents().touch([file.sha256, newFile().sha256]);
        return ((await infoOf())?.modifiedAtMs ?? 0) > written;
      });
      assert.equal(await contents().remove(file.sha256, written), false);
      assert.equal(await contents().remove(file.sha256, Date.now() + 60_000), true);
      assert.equal(await contents().remove(file.sha256), false);
      assert.deepEqual(await contents().missing([file.sha256]), [file.sha256]);
    });

    test("an upload in parts, resumed by another handle", async () => {
      const file = newFile(100_000);
      assert.equal(await contents().uploadedBytes(file.sha256), 0);
      assert.equal(await contents().appendUpload(file.sha256, 0, file.bytes.subarray(0, 40_000)), 40_000);
      const other = await harnessOf().reopen();
      const offset = await other.contents.uploadedBytes(file.sha256);
      assert.equal(offset, 40_000);
      for (const wrong of [0, 39_999, 40_001]) {
        await assert.rejects(other.contents.appendUpload(file.sha256, wrong, Buffer.from("x")), (error: unknown) => {
          return codeIs("upload_offset")(error) && error instanceof AppError && error.details?.["offset"] === 40_000;
        });
      }
      assert.deepEqual(await contents().missing([file.sha256]), [file.sha256]);
      assert.equal(await other.contents.appendUpload(file.sha256, offset, file.bytes.subarray(offset)), 100_000);
      await other.contents.finishUpload(file.sha256);
      assert.deepEqual(await bytesOf(await contents().read(file.sha256)), file.bytes);
      assert.equal(await contents().uploadedBytes(file.sha256), 0);
    });

    test("an upload with another hash is discarded", async () => {
      const file = newFile();
      await contents().appendUpload(file.sha256, 0, newFile().bytes);
      await assert.rejects(contents().finishUpload(file.sha256), codeIs("blob_corrupt"));
      assert.equal(await contents().uploadedBytes(file.sha256), 0);
      assert.deepEqual(await contents().missing([file.sha256]), [file.sha256]);
      await assert.rejects(contents().finishUpload(file.sha256), codeIs("upload_offset"));
    });

    test("of two that send the same part one is told the offset", async () => {
      const file = newFile(1000);
      const parts = [0, 1].map(() => contents().appendUpload(file.sha256, 0, file.bytes));
      const results = await Promise.allSettled(parts);
      assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
      await contents().finishUpload(file.sha256);
      assert.deepEqual(await bytesOf(await contents().read(file.sha256)), file.bytes);
    });

    test("only forgotten uploads expire", async () => {
      const file = newFile();
      await contents().appendUpload(file.sha256, 0, file.bytes);
      await contents().expireUploads(Date.now() - 60_000);
      assert.equal(await contents().uploadedBytes(file.sha256), 100);
      assert.ok((await contents().expireUploads(Date.now() + 60_000)) >= 1);
      assert.equal(await contents().uploadedBytes(file.sha256), 0);
    });
  });
}
