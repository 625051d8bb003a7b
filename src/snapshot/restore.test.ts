import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
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
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { AppError } from "../core/errors.ts";
import { type SnapshotEntry, type SnapshotMode, sortByPath } from "./entry.ts";
import { sha256Of } from "./hash.ts";
import { type BringToOptions, bringTo } from "./restore.ts";

/** Path to text; `→text` is a link, a path that ends with `.sh` an executable file. */
type Tree = Readonly<Record<string, string>>;

interface Bench {
  readonly root: string;
  readonly outside: string;
  bring(tree: Tree, options?: Partial<BringToOptions>): ReturnType<typeof bringTo>;
  file(name: string): string;
}

function setUp(t: TestContext): Bench {
  const dir = mkdtempSync(path.join(tmpdir(), "restore-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return benchIn(dir);
}

function benchIn(dir: string): Bench {
  const root = path.join(dir, "root");
  const outside = path.join(dir, "outside");
  const store = path.join(dir, "store");
  for (const folder of [outside, store]) mkdirSync(folder, { recursive: true });
  let turn = 0;
  return {
    root,
    outside,
    file: (name) => path.join(root, name),
    bring(tree, options = {}) {
      const next = entriesOf(tree);
      for (const [name, text] of Object.entries(tree))
        writeFileSync(path.join(store, sha256Of(contentOf(name, text))), contentOf(name, text));
      const isLocal = turn++ % 2 === 0;
      return bringTo({
        root,
        indexFile: path.join(dir, "index.json"),
        next,
        source: (sha256) => ({
          ...(isLocal ? { path: path.join(store, sha256) } : {}),
          read: async () => Readable.from([readFileSync(path.join(store, sha256))]),
        }),
        ...options,
      });
    },
  };
}

const contentOf = (_name: string, text: string): string => (text.startsWith("→") ? text.slice(1) : text);
const modeOf = (name: string, text: string): SnapshotMode =>
  text.startsWith("→") ? "120000" : name.endsWith(".sh") ? "100755" : "100644";

function entriesOf(tree: Tree): SnapshotEntry[] {
  return sortByPath(
    Object.entries(tree).map(([name, text]) => {
      const content = contentOf(name, text);
      return { path: name, mode: modeOf(name, text), sha256: sha256Of(content), size: Buffer.byteLength(content) };
    }),
  );
}

/** What stands in a folder, in the same words. */
function treeOf(folder: string, prefix = ""): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const item of readdirSync(path.join(folder, prefix), { withFileTypes: true })) {
    const name = prefix === "" ? item.name : `${prefix}/${item.name}`;
    const place = path.join(folder, name);
    if (item.isDirectory()) Object.assign(tree, treeOf(folder, name));
    else if (item.isSymbolicLink()) tree[name] = `→${readlinkSync(place)}`;
    else {
      tree[name] = readFileSync(place, "utf8");
      assert.equal((statSync(place).mode & 0o111) !== 0, name.endsWith(".sh"), `${name} is executable or not`);
    }
  }
  return tree;
}

const mtimes = (root: string, names: readonly string[]): Map<string, number> =>
  new Map(names.map((name) => [name, lstatSync(path.join(root, name)).mtimeMs]));

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
      const { bring, root } = benchIn(path.join(dir, String(round++)));
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
  const { bring, root, file } = setUp(t);
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
  const { bring, root, file } = setUp(t);
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
  const { bring, file } = setUp(t);
  await bring({ "a.sql": "one" });
  const future = Date.now() + 86_400_000;
  utimesSync(file("a.sql"), future / 1000, future / 1000);
  await bring({ "a.sql": "two" });
  const first = statSync(file("a.sql")).mtimeMs;
  assert.ok(first > future);
  await bring({ "a.sql": "thr" });
  assert.ok(statSync(file("a.sql")).mtimeMs > first);
});

test("nothing is ever written or removed through a link out of the root", async (t) => {
  const { bring, root, outside, file } = setUp(t);
  writeFileSync(path.join(outside, "a.sql"), "precious");
  await bring({ "models/a.sql": "1", "models/b.sql": "2", "x.sql": "3" });
  rmSync(file("models"), { recursive: true });
  symlinkSync(outside, file("models"));
  unlinkSync(file("x.sql"));
  symlinkSync(path.join(outside, "new.sql"), file("x.sql"));
  await bring({ "x.sql": "4", "models/c.sql": "5" });
  assert.deepEqual(treeOf(root), { "x.sql": "4", "models/c.sql": "5" });
  rmSync(file("models"), { recursive: true });
  symlinkSync(outside, file("models"));
  await bring({ "x.sql": "4" });
  assert.deepEqual(treeOf(outside), { "a.sql": "precious" });
});

test("another name of a file in the root is not written through either", async (t) => {
  const { bring, outside, file } = setUp(t);
  await bring({ "a.sql": "one" });
  linkSync(file("a.sql"), path.join(outside, "a.sql"));
  await bring({ "a.sql": "two" });
  assert.equal(readFileSync(path.join(outside, "a.sql"), "utf8"), "one");
});

for (const [what, entry, content, code] of [
  ["path that climbs", { path: "../x" }, "1", "path_outside"],
  ["absolute path", { path: "/x" }, "1", "path_outside"],
  ["link that leaves", { mode: "120000" }, "../../etc", "path_outside"],
  ["content of another hash", { sha256: sha256Of("other") }, "1", "blob_corrupt"],
  ["content that is too long", { size: 0 }, "1", "blob_corrupt"],
  ["content that is too short", { size: 2 }, "1", "blob_corrupt"],
  ["big content of another hash", { sha256: sha256Of("other") }, "x".repeat(2_000_000), "blob_corrupt"],
] as const)
  test(`a ${what} is refused and leaves nothing behind`, async (t) => {
    const { bring, root, outside } = setUp(t);
    const next: SnapshotEntry = {
      path: "a",
      mode: "100644",
      sha256: sha256Of(content),
      size: Buffer.byteLength(content),
      ...entry,
    };
    const source = () => ({ read: async () => Readable.from([Buffer.from(content)]) });
    await assert.rejects(
      bring({}, { next: [next], source }),
      (error) => error instanceof AppError && error.code === code,
    );
    assert.deepEqual(treeOf(root), {});
    assert.deepEqual(treeOf(outside), {});
  });

test("a warehouse file is never touched, whatever the snapshot says", async (t) => {
  const { bring, root, file } = setUp(t);
  const protect = ["data/dev.duckdb"];
  mkdirSync(file("data"), { recursive: true });
  writeFileSync(file("data/dev.duckdb"), "warehouse");
  writeFileSync(file("data/dev.duckdb.wal"), "wal");
  const standing = { "data/dev.duckdb": "warehouse", "data/dev.duckdb.wal": "wal" };
  await bring({ "data/dev.duckdb": "sent", "a.sql": "1" }, { protect });
  assert.deepEqual(treeOf(root), { ...standing, "a.sql": "1" });
  const previous = entriesOf({ "data/dev.duckdb": "sent", "data/dev.duckdb.wal": "sent", "a.sql": "1" });
  await bring({}, { protect, previous });
  assert.deepEqual(treeOf(root), standing);
  await assert.rejects(bring({ data: "a file" }, { protect }), { code: "bad_project", message: /data\/dev\.duckdb/ });
  await assert.rejects(bring({ "data/dev.duckdb/x": "" }, { protect }), { code: "bad_project" });
  assert.deepEqual(treeOf(root), standing);
});

test("stopped at any moment, the next call converges, also to another snapshot", async (t) => {
  const first = { "a.sql": "1", "b/c.sql": "2", "b/d.sql": "3", keep: "k", shape: "file" };
  const second = { "a.sql": "10", "e/f.sql": "20", "e/g.sql": "30", keep: "k", "shape/now": "folder" };
  const third = { "h.sql": "100", keep: "k" };
  for (let stopAt = 0; stopAt < 4; stopAt++) {
    for (const last of [first, second, third]) {
      const { bring, root, file } = setUp(t);
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
  const { bring, root, file } = setUp(t);
  await bring({ "a.sql": "one" });
  await bring({ "a.sql": "two" });
  // As after a crash in the middle of writing: the index is of before, the file is neither the one nor the other.
  writeFileSync(file("a.sql"), "t\0\0");
  await bring({ "a.sql": "two" });
  assert.deepEqual(treeOf(root), { "a.sql": "two" });
});

for (const spoilt of ["", "{", "null", '{"version":1,"lastMtimeMs":0,"files":[null]}', '{"version":9}'])
  test(`with the index ${JSON.stringify(spoilt)} files are compared by content, and keep their mtimes`, async (t) => {
    const { bring, root, file } = setUp(t);
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
  const { bring, root } = setUp(t);
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
