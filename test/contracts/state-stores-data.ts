/** What the tests of the stores share: stores over the backend under test, and entries and packs to put there. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import type { Run } from "../../src/core/run.ts";
import { snapshotId } from "../../src/snapshot/entry.ts";
import type { PackedFile } from "../../src/state/artifacts.ts";
import type { NewRun } from "../../src/state/runs.ts";
import type { StoredEntry } from "../../src/state/snapshots.ts";
import { createStores, type Stores } from "../../src/state/stores.ts";
import { newRun } from "../new-run.ts";
import type { HarnessOf } from "./state-contract.ts";
import { sha256, type TestFile } from "./state-test-data.ts";

/** Of the backend under test, with a clock that tells another time where one is given. */
export interface StoresUnderTest {
  stores(now?: () => number): Stores;
  /** A run that is made. */
  created(changes?: Partial<NewRun>, now?: () => number): Promise<Run>;
}

export function storesUnderTest(harnessOf: HarnessOf): StoresUnderTest {
  const stores = (now: () => number = Date.now) => createStores({ state: harnessOf().state, now, snapshotId });
  return {
    stores,
    async created(changes = {}, now) {
      const creation = await stores(now).runs.create(newRun(changes));
      assert.ok(creation.kind === "created", creation.kind);
      return creation.run;
    },
  };
}

/** A file of a snapshot or of a pack. */
export function entryOf(path: string, file: TestFile): StoredEntry {
  return { path, mode: "100644", sha256: file.sha256, size: file.bytes.length };
}

/** A pack's bytes and index; the members between the files stand for tar's headers. */
export function packOf(files: Record<string, string>): { pack: Buffer; index: PackedFile[] } {
  const members: Buffer[] = [];
  const index: PackedFile[] = [];
  let offset = 0;
  for (const [path, text] of Object.entries(files)) {
    const header = gzipSync(`header of ${path}`);
    const member = gzipSync(text);
    const entry = entryOf(path, { sha256: sha256(text), bytes: Buffer.from(text) });
    index.push({ ...entry, offset: offset + header.length, length: member.length });
    members.push(header, member);
    offset += header.length + member.length;
  }
  return { pack: Buffer.concat(members), index };
}
