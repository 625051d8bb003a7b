import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { HarnessOf } from "./state-contract.ts";
import { codeIs, newCollection, pause, until } from "./state-test-data.ts";

export function recordsContract(harnessOf: HarnessOf): void {
  const records = () => harnessOf().state.records;

  describe("records", () => {
    test("create is create-if-absent", async () => {
      const c = newCollection();
      const created = await records().create(c, "k", { a: 1 });
      assert.deepEqual(created?.data, { a: 1 });
      assert.equal(await records().create(c, "k", { a: 2 }), undefined);
      assert.deepEqual((await records().get(c, "k"))?.data, { a: 1 });
      assert.equal((await records().get(c, "k"))?.version, created?.version);
    });

    test("of racing creates one wins", async () => {
      const c = newCollection();
      const other = await harnessOf().reopen();
      const handles = [records(), other.records];
      const results = await Promise.all(
        Array.from({ length: 10 }, (_, number) => handles[number % 2]?.create(c, "k", { number })),
      );
      const winners = results.filter((result) => result !== undefined);
      assert.equal(winners.length, 1);
      assert.deepEqual((await records().get(c, "k"))?.data, winners[0]?.data);
    });

    test("what is absent reads as undefined", async () => {
      const c = newCollection();
      assert.equal(await records().get(c, "k"), undefined);
      assert.deepEqual(await records().list(c), []);
      assert.equal(await records().remove(c, "k"), false);
      const made = await records().create(c, "k", {});
      assert.ok(made);
      await records().remove(c, "k");
      assert.equal(await records().replace(c, "k", {}, made.version), undefined);
      assert.equal(await records().remove(c, "k", made.version), false);
    });

    test("replace compares the version", async () => {
      const c = newCollection();
      const first = await records().create(c, "k", { a: 1 });
      assert.ok(first);
      const second = await records().replace(c, "k", { a: 2 }, first.version);
      assert.ok(second);
      assert.notEqual(second.version, first.version);
      assert.equal(await records().replace(c, "k", { a: 3 }, first.version), undefined);
      assert.deepEqual((await records().get(c, "k"))?.data, { a: 2 });
    });

    test("a version is never used again for a key", async () => {
      const c = newCollection();
      const versions = new Set<string>();
      for (let round = 0; round < 3; round += 1) {
        const made = await records().create(c, "k", { same: true });
        assert.ok(made);
        versions.add(made.version);
        assert.equal(await records().remove(c, "k", made.version), true);
      }
      assert.equal(versions.size, 3);
    });

    test("remove compares the version where one is given", async () => {
      const c = newCollection();
      const first = await records().create(c, "k", { a: 1 });
      assert.ok(first);
      await records().put(c, "k", { a: 2 });
      assert.equal(await records().remove(c, "k", first.version), false);
      assert.equal(await records().remove(c, "k"), true);
      assert.equal(await records().get(c, "k"), undefined);
    });

    test("put makes and overwrites, and changes the version", async () => {
      const c = newCollection();
      await records().put(c, "k", { a: 1 });
      const first = await records().get(c, "k");
      await records().put(c, "k", { b: 2 });
      const second = await records().get(c, "k");
      assert.deepEqual(second?.data, { b: 2 });
      assert.notEqual(first?.version, second?.version);
    });

    test("data comes back as it was put", async () => {
      const c = newCollection();
      const data = {
        text: "Größe 😀\n\0\"\\ '; DROP TABLE records;",
        number: 1.5,
        large: 2 ** 52,
        yes: true,
        nothing: null,
        list: [1, "a", { b: [] }],
        nested: { deep: { deeper: {} } },
        "odd.name $": 1,
      };
      await records().put(c, "k", data);
      assert.deepEqual((await records().get(c, "k"))?.data, data);
    });

    test("a record of 900 kB is kept, one over a MiB refused", async () => {
      const c = newCollection();
      const text = "x".repeat(900_000);
      await records().put(c, "k", { text });
      assert.equal((await records().get<{ text: string }>(c, "k"))?.data.text.length, text.length);
      await assert.rejects(records().put(c, "k", { text: text + text }), codeIs("too_large"));
    });

    test("keys and collections are checked", async () => {
      const c = newCollection();
      for (const key of ["", "a/b", ".", "..", "__x__", "ä", "a b", "x".repeat(201)]) {
        await assert.rejects(records().get(c, key), codeIs("bad_argument"), key);
        await assert.rejects(records().create(c, key, {}), codeIs("bad_argument"), key);
      }
      await assert.rejects(records().get("Not'a collection", "k"), codeIs("bad_argument"));
      await assert.rejects(records().list(c, { orderBy: "a') --" }), codeIs("bad_argument"));
    });

    test("list orders by key, by bytes", async () => {
      const c = newCollection();
      for (const key of ["b", "a", "a-1", "a.1", "B", "10", "9", "~"]) await records().create(c, key, {});
      const keys = (await records().list(c)).map(({ key }) => key);
      assert.deepEqual(keys, ["10", "9", "B", "a", "a-1", "a.1", "b", "~"]);
      await assert.rejects(records().list(c, { direction: "descending" }), codeIs("bad_argument"));
      const behind = await records().list(c, { after: "a", limit: 2 });
      assert.deepEqual(
        behind.map(({ key }) => key),
        ["a-1", "a.1"],
      );
    });

    test("list pages by a field in both directions", async () => {
      const c = newCollection();
      for (let number = 0; number < 10; number += 1) await records().create(c, `k${number}`, { number: number * 10 });
      await records().create(c, "without", { other: 1 });
      for (const direction of ["ascending", "descending"] as const) {
        const numbers: number[] = [];
        for (;;) {
          const after = numbers.at(-1);
          const page = await records().list<{ number: number }>(c, {
            orderBy: "number",
            direction,
            limit: 3,
            ...(after !== undefined && { after }),
          });
          numbers.push(...page.map(({ data }) => data.number));
          if (page.length < 3) break;
        }
        const expected = Array.from({ length: 10 }, (_, number) => number * 10);
        assert.deepEqual(numbers, direction === "ascending" ? expected : expected.reverse());
      }
    });

    test("equal values are ordered by key", async () => {
      const c = newCollection();
      for (const key of ["c", "a", "b"]) await records().create(c, key, { n: 1 });
      const up = await records().list(c, { orderBy: "n" });
      const down = await records().list(c, { orderBy: "n", direction: "descending" });
      assert.deepEqual(
        up.map(({ key }) => key),
        ["a", "b", "c"],
      );
      assert.deepEqual(
        down.map(({ key }) => key),
        ["c", "b", "a"],
      );
    });

    test("where compares value and type, and reaches into objects", async () => {
      const c = newCollection();
      await records().create(c, "text", { v: "1" });
      await records().create(c, "number", { v: 1 });
      await records().create(c, "true", { v: true });
      await records().create(c, "false", { v: false });
      await records().create(c, "null", { v: null });
      await records().create(c, "absent", { w: 1 });
      await records().create(c, "object", { v: { id: "u'1" }, n: 2 });
      const keysOf = async (where: Record<string, string | number | boolean | null>) =>
        (await records().list(c, { where })).map(({ key }) => key);
      assert.deepEqual(await keysOf({ v: "1" }), ["text"]);
      assert.deepEqual(await keysOf({ v: 1 }), ["number"]);
      assert.deepEqual(await keysOf({ v: true }), ["true"]);
      assert.deepEqual(await keysOf({ v: false }), ["false"]);
      assert.deepEqual(await keysOf({ v: null }), ["null"]);
      assert.deepEqual(await keysOf({ "v.id": "u'1" }), ["object"]);
      assert.deepEqual(await keysOf({ "v.id": "u'1", n: 2 }), ["object"]);
      assert.deepEqual(await keysOf({ "v.id": "u'1", n: 3 }), []);
    });

    test("watch tells of changes made here and by another handle", async () => {
      const c = newCollection();
      const other = await harnessOf().reopen();
      for (const writer of [records(), other.records]) {
        let calls = 0;
        const stop = records().watch(c, "k", () => {
          calls += 1;
        });
        await writer.put(c, "k", { at: 1 });
        await until("creation", () => calls >= 1);
        calls = 0;
        await writer.put(c, "k", { at: 2 });
        await until("change", () => calls >= 1);
        calls = 0;
        await writer.remove(c, "k");
        await until("removal", () => calls >= 1);
        stop();
        calls = 0;
        await writer.put(c, "k", { at: 3 });
        await pause(50);
        assert.equal(calls, 0);
        await writer.remove(c, "k");
      }
    });

    test("an ended watch is silent, others go on", async () => {
      const c = newCollection();
      let ended = 0;
      let going = 0;
      const stopOne = records().watch(c, "k", () => {
        ended += 1;
      });
      const stopOther = records().watch(c, "k", () => {
        going += 1;
      });
      stopOne();
      stopOne();
      await records().put(c, "k", {});
      await until("the other", () => going >= 1);
      assert.equal(ended, 0);
      stopOther();
    });

    test("watchAll tells of any record of the collection", async () => {
      const c = newCollection();
      const other = await harnessOf().reopen();
      let calls = 0;
      const stop = records().watchAll(c, () => {
        calls += 1;
      });
      for (const key of ["a", "b"]) {
        calls = 0;
        await other.records.put(c, key, {});
        await until(key, () => calls >= 1);
      }
      stop();
    });

    test("a burst ends with a call behind its last write", async () => {
      const c = newCollection();
      const other = await harnessOf().reopen();
      let seen = -1;
      let reading = Promise.resolve();
      const stop = records().watch(c, "k", () => {
        reading = reading.then(async () => {
          seen = (await records().get<{ n: number }>(c, "k"))?.data.n ?? -1;
        });
      });
      for (let n = 0; n < 20; n += 1) await other.records.put(c, "k", { n });
      // A busy emulator takes its time.
      await until("the last value", () => seen === 19, 30_000);
      stop();
    });
  });
}
