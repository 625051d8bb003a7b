import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../../test/folders.ts";
import { RECORD_INDEXES } from "../indexes.ts";
import {
  collectionId,
  FIELDS,
  forgetAtMs,
  formatVersion,
  newWrite,
  nextWrites,
  parseVersion,
  queriedFields,
} from "./documents.ts";

test("of a collection with indexes only their fields can be queried", () => {
  const run = { status: "running", requester: { id: "u", label: "ada" }, verb: null, number: 3, other: 1 };
  assert.deepEqual(queriedFields("runs", run), { status: "running", requester: { id: "u" }, verb: null, number: 3 });
  assert.deepEqual(queriedFields("runs", { status: "x".repeat(2000), requester: "u" }), {});
});

test("of other collections everything short, one level deep", () => {
  const data = { a: 1, "odd name": 2, list: [1], long: "x".repeat(2000), b: { c: true, d: { e: 1 } } };
  assert.deepEqual(queriedFields("things", data), { a: 1, b: { c: true } });
});

interface IndexFile {
  readonly indexes: readonly {
    readonly collectionGroup: string;
    readonly queryScope: string;
    readonly fields: readonly { readonly fieldPath: string; readonly order: string }[];
  }[];
  readonly fieldOverrides: readonly {
    readonly collectionGroup: string;
    readonly fieldPath: string;
    readonly indexes: readonly unknown[];
  }[];
}

test("the indexes that are shipped are those that the queries need", () => {
  const shipped = JSON.parse(readFileSync(join(root, "deploy/firestore.indexes.json"), "utf8")) as IndexFile;
  // One field by itself is indexed without being asked for.
  const composite = RECORD_INDEXES.filter(({ fields }) => fields.length > 1);
  assert.deepEqual(
    shipped.indexes,
    composite.map(({ collection, fields }) => ({
      collectionGroup: collectionId(collection),
      queryScope: "COLLECTION",
      fields: fields.map((field, position) => ({
        fieldPath: `${FIELDS.queried}.${field}`,
        order: position === fields.length - 1 ? "DESCENDING" : "ASCENDING",
      })),
    })),
  );
  for (const { fieldPath, indexes } of shipped.fieldOverrides) {
    assert.ok([FIELDS.json, FIELDS.writes, FIELDS.expireAt].some((field) => field === fieldPath));
    assert.deepEqual(indexes, []);
  }
});

test("a version is read as it was written, and a write's mark outlives a minute of others", () => {
  const version = { seconds: 1_795_000_000, nanoseconds: 123_000, writes: [newWrite(), newWrite()] };
  assert.deepEqual(parseVersion(formatVersion(version)), version);
  const own = newWrite();
  let writes = nextWrites(own, []);
  for (let other = 0; other < 60; other += 1) writes = nextWrites(newWrite(), writes);
  assert.ok(writes.includes(own));
  for (let other = 0; other < 60; other += 1) writes = nextWrites(newWrite(), writes);
  assert.equal(writes.length, 64);
});

test("what expires may be forgotten a day later", () => {
  assert.equal(forgetAtMs({ expiresAtMs: 1000 }), 86_401_000);
  assert.equal(forgetAtMs({ other: 1 }), undefined);
});
