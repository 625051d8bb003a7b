import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import type { HarnessOf } from "./state-contract.ts";
import { bytesOf, codeIs, newRunId, until } from "./state-test-data.ts";

export function blobsContract(harnessOf: HarnessOf): void {
  const blobs = () => harnessOf().state.blobs;

  describe("blobs", () => {
    test("put is create-only, and others read it", async () => {
      const name = `t/${newRunId()}/a.json`;
      assert.equal(await blobs().put(name, Buffer.from("one")), true);
      assert.equal(await blobs().put(name, Buffer.from("two")), false);
      const other = await harnessOf().reopen();
      assert.equal((await bytesOf(await other.blobs.read(name)))?.toString(), "one");
      assert.equal((await blobs().stat(name))?.size, 3);
    });

    test("a stream is kept whole, a broken one not at all", async () => {
      const folder = `t/${newRunId()}`;
      const chunks = Array.from({ length: 20 }, () => randomBytes(50_000));
      assert.equal(await blobs().put(`${folder}/whole`, Readable.from(chunks)), true);
      assert.deepEqual(await bytesOf(await blobs().read(`${folder}/whole`)), Buffer.concat(chunks));
      const broken = Readable.from(
        (async function* () {
          yield randomBytes(10_000);
          throw new Error("the sender went away");
        })(),
      );
      await assert.rejects(blobs().put(`${folder}/broken`, broken));
      assert.equal(await blobs().stat(`${folder}/broken`), undefined);
      assert.deepEqual(
        (await blobs().list(folder)).map(({ name }) => name),
        [`${folder}/whole`],
      );
    });

    test("of racing puts one wins", async () => {
      const name = `t/${newRunId()}`;
      const contents = Array.from({ length: 8 }, (_, number) => Buffer.from(`content ${number}`));
      const won = await Promise.all(contents.map((content) => blobs().put(name, content)));
      assert.equal(won.filter(Boolean).length, 1);
      assert.equal((await bytesOf(await blobs().read(name)))?.toString(), `content ${won.indexOf(true)}`);
    });

    test("ranges", async () => {
      const name = `t/${newRunId()}`;
      await blobs().put(name, Buffer.from("0123456789"));
      const range = async (offset: number, length: number) =>
        (await bytesOf(await blobs().read(name, { offset, length })))?.toString();
      assert.equal(await range(0, 3), "012");
      assert.equal(await range(3, 4), "3456");
      assert.equal(await range(8, 100), "89");
      assert.equal(await range(4, 0), "");
    });

    test("empty blobs", async () => {
      const name = `t/${newRunId()}`;
      await blobs().put(name, Buffer.alloc(0));
      assert.equal((await blobs().stat(name))?.size, 0);
      assert.equal((await bytesOf(await blobs().read(name)))?.length, 0);
    });

    test("what is absent", async () => {
      const name = `t/${newRunId()}`;
      assert.equal(await blobs().read(name), undefined);
      assert.equal(await blobs().read(name, { offset: 0, length: 1 }), undefined);
      assert.equal(await blobs().stat(name), undefined);
      assert.equal(await blobs().touch(name), false);
      assert.equal(await blobs().remove(name), false);
      assert.deepEqual(await blobs().list(`${name}/`), []);
    });

    test("remove spares what was used since", async () => {
      const name = `t/${newRunId()}`;
      await blobs().put(name, Buffer.from("x"));
      const written = (await blobs().stat(name))?.modifiedAtMs ?? 0;
      assert.ok(Math.abs(written - Date.now()) < 60_000);
      assert.equal(await blobs().remove(name, written - 1000), false);
      await until("a later touch", async () => {
        await blobs().touch(name);
        return ((await blobs().stat(name))?.modifiedAtMs ?? 0) > written;
      });
      assert.equal(await blobs().remove(name, written), false);
      assert.equal(await blobs().remove(name, Date.now() + 60_000), true);
      assert.equal(await blobs().stat(name), undefined);
    });

    test("a removed name can be put again", async () => {
      const name = `t/${newRunId()}`;
      await blobs().put(name, Buffer.from("one"));
      assert.equal(await blobs().remove(name), true);
      assert.equal(await blobs().put(name, Buffer.from("two")), true);
      assert.equal((await bytesOf(await blobs().read(name)))?.toString(), "two");
    });

    test("list is in byte order of the whole names, by prefix, in pages", async () => {
      const base = `t/${newRunId()}/`;
      const names = ["a", "a-b", "a.b", "b/c", "b/c.d", "b-/x", "B", "z/é", "z/z/z", "z0"];
      for (const name of names) await blobs().put(base + name, Buffer.from(name));
      const sorted = names.map((name) => base + name).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const namesOf = async (prefix: string, options?: { after?: string; limit?: number }) =>
        (await blobs().list(prefix, options)).map(({ name }) => name);
      assert.deepEqual(await namesOf(base), sorted);
      assert.deepEqual(
        await namesOf(`${base}b`),
        sorted.filter((name) => name.startsWith(`${base}b`)),
      );
      assert.deepEqual(await namesOf(`${base}b/`), [`${base}b/c`, `${base}b/c.d`]);
      const paged: string[] = [];
      for (;;) {
        const after = paged.at(-1);
        const page = await namesOf(base, { limit: 3, ...(after !== undefined && { after }) });
        paged.push(...page);
        if (page.length < 3) break;
      }
      assert.deepEqual(paged, sorted);
    });

    test("names that lead elsewhere are refused", async () => {
      for (const name of ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", "a/./b", "a\\b", "a\0b", "a\nb"]) {
        const refused = codeIs("path_outside");
        await assert.rejects(blobs().put(name, Buffer.from("x")), refused, JSON.stringify(name));
        await assert.rejects(blobs().read(name), refused, JSON.stringify(name));
        await assert.rejects(blobs().remove(name), refused, JSON.stringify(name));
      }
    });
  });
}
