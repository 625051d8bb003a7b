import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { entriesOf, mtimes, restoreBench, restoreBenchIn, type Tree, treeOf } from "../../test/restore-bench.ts";
import { sha256Of } from "./hash.ts";

const segment = fc.constantFrom("a", "b", "c", "ü", "models");
const anyTree = fc
  .array(
    fc.tuple(
      fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/")),
      fc.constantFrom("", ".sh", ".sql"),
      fc.constantFrom("", "one", "two", "three", "→a", "→b/c"),
    ),
    { maxLength: 12 },
  )
  .map((rows) => {
    const tree: Record<string, string> = {};
    for (const [name, suffix, text] of rows) {
      const full = name + (text.startsWith("→") ? "" : suffix);
      const clash = Object.keys(tree).some((other) => other.startsWith(`${full}/`) || full.startsWith(`${other}/`));
      if (!clash) tree[full] = text;
    }
    return tree as Tree;
  });

test("any tree can be brought to any other; what did not change keeps its mtime, what did gets a newer one", async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), "restore-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  let round = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(anyTree, { minLength: 2, maxLength: 4 }), async (trees) => {
      const { bring, root } = restoreBenchIn(path.join(dir, String(round++)));
      let previous: Tree = {};
      let before = new Map<string, number>();
      let newest = 0;
      for (const tree of trees) {
        const { written, kept } = await bring(tree);
        assert.deepEqual(treeOf(root), { ...tree });
        const after = mtimes(root, Object.keys(tree));
        for (const [name, text] of Object.entries(tree)) {
          const isSame = previous[name] === text;
          assert.equal(written.includes(name), !isSame, name);
          const mtime = after.get(name) ?? 0;
          if (isSame) assert.equal(mtime, before.get(name));
          else if (!text.startsWith("→")) assert.ok(mtime > newest, `${name}: ${mtime} > ${newest}`);
        }
        assert.equal(written.length + kept, Object.keys(tree).length);
        previous = tree;
        before = after;
        newest = Math.max(newest, ...[...after].filter(([name]) => !tree[name]?.startsWith("→")).map(([, ms]) => ms));
      }
    }),
    { numRuns: 60 },
  );
});

test("files that runs made stay; folders that a removal leaves empty go", async (t) => {
  const { bring, root, file } = restoreBench(t);
  await bring({ "models/a.sql": "1", "models/old/b.sql": "2", "seeds/deep/er/s.csv": "3" });
  mkdirSync(file("target"));
  writeFileSync(file("target/manifest.json"), "{}");
  writeFileSync(file("models/old/made.txt"), "by a run");
  const { removed } = await bring({ "models/a.sql": "1" });
  assert.deepEqual([...removed].sort(), ["models/old/b.sql", "seeds/deep/er/s.csv"]);
  assert.deepEqual(treeOf(root), {
    "models/a.sql": "1",
    "models/old/made.txt": "by a run",
    "target/manifest.json": "{}",
  });
  assert.ok(!existsSync(file("seeds")));
});

test("what a run altered, removed or replaced is put right, though times and size are the same", async (t) => {
  const { bring, root, file } = restoreBench(t);
  const tree = { "a.sql": "one", "b.sql": "two", "c.sql": "three", "d.sh": "four", "e/f.sql": "five", g: "→a.sql" };
  await bring(tree);
  const { mtime } = statSync(file("a.sql"));
  writeFileSync(file("a.sql"), "ONE");
  utimesSync(file("a.sql"), mtime, mtime);
  unlinkSync(file("b.sql"));
  unlinkSync(file("c.sql"));
  mkdirSync(file("c.sql"));
  writeFileSync(file("c.sql/x"), "");
  chmodSync(file("d.sh"), 0o600);
  rmSync(file("e"), { recursive: true });
  writeFileSync(file("e"), "");
  unlinkSync(file("g"));
  symlinkSync("b.sql", file("g"));
  const { written } = await bring(tree);
  assert.deepEqual(treeOf(root), tree);
  assert.deepEqual([...written].sort(), ["a.sql", "b.sql", "c.sql", "e/f.sql", "g"]);
  assert.deepEqual((await bring(tree)).written, []);
});

test("a newer mtime is newer also than one in the future", async (t) => {
  const { bring, file } = restoreBench(t);
  await bring({ "a.sql": "one" });
  const future = Date.now() + 86_400_000;
  utimesSync(file("a.sql"), future / 1000, future / 1000);
  await bring({ "a.sql": "two" });
  const first = statSync(file("a.sql")).mtimeMs;
  assert.ok(first > future);
  await bring({ "a.sql": "thr" });
  assert.ok(statSync(file("a.sql")).mtimeMs > first);
});

test("stopped at any moment, the next call converges, also to another snapshot", async (t) => {
  const first = { "a.sql": "1", "b/c.sql": "2", "b/d.sql": "3", keep: "k", shape: "file" };
  const second = { "a.sql": "10", "e/f.sql": "20", "e/g.sql": "30", keep: "k", "shape/now": "folder" };
  const third = { "h.sql": "100", keep: "k" };
  for (let stopAt = 0; stopAt < 4; stopAt++) {
    for (const last of [first, second, third]) {
      const { bring, root, file } = restoreBench(t);
      await bring(first);
      mkdirSync(file("target"));
      writeFileSync(file("target/made"), "by a run");
      let reads = 0;
      const source = (sha256: string) => ({
        read: async () => {
          if (reads++ === stopAt) throw new Error("killed");
          const text = Object.values(second).find((value) => sha256Of(value) === sha256);
          return Readable.from([Buffer.from(text ?? "")]);
        },
      });
      await assert.rejects(bring(second, { source }), /killed/);
      await bring(last);
      assert.deepEqual(treeOf(root), { ...last, "target/made": "by a run" });
    }
  }
});

test("a half-written file of equal size is found out", async (t) => {
  const { bring, root, file } = restoreBench(t);
  await bring({ "a.sql": "one" });
  await bring({ "a.sql": "two" });
  // As after a crash in the middle of writing: the index is of before, the file is neither the one nor the other.
  writeFileSync(file("a.sql"), "t\0\0");
  await bring({ "a.sql": "two" });
  assert.deepEqual(treeOf(root), { "a.sql": "two" });
});

for (const spoilt of ["", "{", "null", '{"version":1,"lastMtimeMs":0,"files":[null]}', '{"version":9}'])
  test(`with the index ${JSON.stringify(spoilt)} files are compared by content, and keep their mtimes`, async (t) => {
    const { bring, root, file } = restoreBench(t);
    const tree = { "a.sql": "one", "b.sql": "two", "c.sh": "three", d: "→a.sql", "gone.sql": "x" };
    await bring(tree);
    appendFileSync(file("b.sql"), "!");
    const before = mtimes(root, ["a.sql", "c.sh"]);
    writeFileSync(path.join(root, "..", "index.json"), spoilt);
    const { "gone.sql": _, ...next } = tree;
    const { written } = await bring(next, { previous: entriesOf(tree) });
    assert.deepEqual(written, ["b.sql"]);
    assert.deepEqual(treeOf(root), next);
    assert.deepEqual(mtimes(root, ["a.sql", "c.sh"]), before);
  });

test("5,000 files", async (t) => {
  const { bring, root } = restoreBench(t);
  const tree: Record<string, string> = {};
  for (let i = 0; i < 5000; i++) tree[`models/area_${i % 50}/model_${i}.sql`] = `select ${i}`;
  const store = path.join(root, "..", "store");
  for (const text of [...Object.values(tree), "changed"]) writeFileSync(path.join(store, sha256Of(text)), text);
  const source = (sha256: string) => ({ path: path.join(store, sha256), read: async () => Readable.from([]) });
  for (const what of ["first", "the same", "one changed"]) {
    if (what === "one changed") tree["models/area_0/model_0.sql"] = "changed";
    const next = entriesOf(tree);
    const start = performance.now();
    const { written } = await bring({}, { next, source });
    t.diagnostic(`${what}: ${Math.round(performance.now() - start)} ms, ${written.length} files written`);
  }
});
