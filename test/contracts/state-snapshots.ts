import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { snapshotId } from "../../src/snapshot/entry.ts";
import type { HarnessOf } from "./state-contract.ts";
import { entryOf, storesUnderTest } from "./state-stores-data.ts";
import { codeIs, newFile } from "./state-test-data.ts";

export function snapshotsContract(harnessOf: HarnessOf): void {
  const { stores } = storesUnderTest(harnessOf);

  describe("snapshots", () => {
    test("are put, known and loaded; missing contents are told", async () => {
      const { snapshots } = stores();
      const files = [newFile(), newFile()] as const;
      const entries = [entryOf("a.sql", files[0]), entryOf("b/ä.sql", files[1]), entryOf("c.sql", files[0])];
      const id = snapshotId(entries);
      assert.equal(await snapshots.known(id), false);
      await assert.rejects(snapshots.load(id), codeIs("snapshot_unknown"));
      await assert.rejects(snapshots.use(id), codeIs("snapshot_unknown"));
      await harnessOf().state.contents.put(files[0].sha256, files[0].bytes);
      assert.deepEqual(await snapshots.put(id, entries), [files[1].sha256]);
      assert.deepEqual(await snapshots.missing(id), [files[1].sha256]);
      assert.equal(await snapshots.known(id), true);
      assert.deepEqual(await snapshots.load(id), entries);
      await harnessOf().state.contents.put(files[1].sha256, files[1].bytes);
      assert.deepEqual(await snapshots.put(id, entries), []);
      await snapshots.use(id);
    });

    test("made of a base that is known, or refused", async () => {
      const { snapshots } = stores();
      const files = [newFile(), newFile()] as const;
      const base = [entryOf("a.sql", files[0])];
      const entries = [...base, entryOf("b.sql", files[1])];
      await assert.rejects(
        snapshots.put(snapshotId(entries), entries, snapshotId(base)),
        codeIs("snapshot_base_unknown"),
      );
      await snapshots.put(snapshotId(base), base);
      const missing = await snapshots.put(snapshotId(entries), entries, snapshotId(base));
      assert.deepEqual(missing, [files[0].sha256, files[1].sha256]);
      assert.deepEqual(await snapshots.load(snapshotId(entries)), entries);
    });

    test("an id that the entries don't make is refused", async () => {
      const entries = [entryOf("a.sql", newFile())];
      const id = snapshotId([]);
      await assert.rejects(stores().snapshots.put(id, entries), codeIs("blob_corrupt"));
    });
  });
}
