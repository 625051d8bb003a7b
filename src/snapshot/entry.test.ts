import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { AppError } from "../core/errors.ts";
import { compareUtf8, diffEntries, type SnapshotEntry, snapshotId, sortByPath, toRow } from "./entry.ts";
import { applyDelta, checkLinkTarget, linkStaysInside, parseEntries } from "./entry-rules.ts";

const sha = (text: string): string => createHash("sha256").update(text).digest("hex");
const entry = (path: string, text = path): SnapshotEntry => ({
  path,
  mode: "100644",
  sha256: sha(text),
  size: Buffer.byteLength(text),
});

test("the id is the hash of the sorted rows without blanks, whatever the order they come in", () => {
  const [a, b] = [entry("b/é.sql"), entry("a.sql")];
  const json = `[["a.sql","100644","${b.sha256}"],["b/é.sql","100644","${a.sha256}"]]`;
  assert.equal(snapshotId([a, b]), `v1-${sha(json)}`);
  assert.equal(snapshotId([b, a]), snapshotId([a, b]));
  assert.equal(snapshotId([]), `v1-${sha("[]")}`);
  assert.notEqual(snapshotId([a]), snapshotId([{ ...a, mode: "100755" }]));
});

test("paths sort by their UTF-8 bytes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
      assert.equal(Math.sign(compareUtf8(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
  const paths = ["\u{1f600}", "\uff5e", "z", "a/b", "a-b", "é"];
  const bytes = [...paths].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.deepEqual(
    sortByPath(paths.map((path) => ({ path }))).map(({ path }) => path),
    bytes,
  );
});

for (const path of [
  "",
  "/etc/passwd",
  "../x",
  "a/../b",
  "a//b",
  "a/",
  "./a",
  "a/./b",
  "a\0b",
  "a\\..\\b",
  "C:/x",
  "\ud800",
  "x".repeat(256),
  "é".repeat(128),
  "a/".repeat(2500).slice(0, -1),
])
  test(`the path ${JSON.stringify(path).slice(0, 30)} is refused`, () => {
    assert.throws(
      () => parseEntries([[path, "100644", sha(""), 0]]),
      (error) => error instanceof AppError && error.status === 400,
    );
  });

for (const [what, rows] of Object.entries({
  "no array": { path: "a" },
  "an object": [{ path: "a" }],
  "a short row": [["a", "100644", sha("")]],
  "a mode": [["a", "100666", sha(""), 0]],
  "a folder's mode": [["a", "040000", sha(""), 0]],
  "a hash in capitals": [["a", "100644", sha("").toUpperCase(), 0]],
  "a negative size": [["a", "100644", sha(""), -1]],
  "a broken size": [["a", "100644", sha(""), 1.5]],
  "an empty link": [["a", "120000", sha(""), 0]],
  "a path that is no string": [[["a"], "100644", sha(""), 0]],
  "a path twice": [toRow(entry("a")), toRow(entry("a"))],
  "a file that is a folder": [toRow(entry("a/b/c")), toRow(entry("a-b")), toRow(entry("a"))],
}))
  test(`entries with ${what} are refused`, () => {
    assert.throws(
      () => parseEntries(rows),
      (error) => error instanceof AppError && error.status === 400,
    );
  });

test("good entries come back sorted", () => {
  const entries = ["models/..x", "a b", "models/ä/…", "a.b/c", "xy:z/q"].map((path) => entry(path));
  assert.deepEqual(parseEntries(entries.map(toRow)), sortByPath(entries));
});

test("a delta leads from any tree to any other", () => {
  const tree = fc
    .dictionary(fc.stringMatching(/^[a-e]{1,2}$/), fc.constantFrom("1", "2", "3"))
    .map((files) => Object.entries(files).map(([path, text]) => entry(path, text)));
  fc.assert(
    fc.property(tree, tree, (base, next) => {
      const { remove, put } = diffEntries(base, next);
      assert.deepEqual(applyDelta(base, remove, put.map(toRow)), sortByPath(next));
    }),
  );
});

test("a delta can't make a tree that could not be sent whole", () => {
  const base = [entry("a/b")];
  assert.throws(() => applyDelta(base, [], [toRow(entry("a"))]), /both as a file and as a folder/);
  assert.throws(() => applyDelta(base, [], [["../a", "100644", sha(""), 0]]), /"\.\."/);
  assert.deepEqual(applyDelta(base, ["a/b"], [toRow(entry("a"))]), [entry("a")]);
});

for (const [path, text, inside] of [
  ["a", "b", true],
  ["a/b/c", "../../x/y", true],
  ["a/b/c", "./../x", true],
  ["a", ".", true],
  ["a/b", "..", true],
  ["a", "..", false],
  ["a/b/c", "../../../x", false],
  ["a", "/etc/passwd", false],
  ["a", "b/../../..", false],
  // Through another link this would climb further than it seems to.
  ["a/b", "deep/link/../x", false],
  ["a", "", false],
  ["a", "..\\..\\x", false],
  ["a", "C:/x", false],
] as const)
  test(`a link ${path} → ${text} ${inside ? "stays inside" : "is refused"}`, () => {
    assert.equal(linkStaysInside(path, text), inside);
    if (!inside) assert.throws(() => checkLinkTarget(path, text), { code: "path_outside", message: new RegExp(path) });
  });
