import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { AppError } from "../core/errors.ts";
import type { SnapshotEntry } from "./entry.ts";
import { type Snapshot, type TakeOptions, takeSnapshot } from "./take.ts";

function setUp(t: TestContext): { projectDir: string; cacheDir: string } {
  const root = mkdtempSync(path.join(tmpdir(), "take-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const projectDir = path.join(root, "shop");
  mkdirSync(path.join(projectDir, "models"), { recursive: true });
  writeFileSync(path.join(projectDir, "dbt_project.yml"), "name: shop");
  writeFileSync(path.join(projectDir, "models/a.sql"), "select '{{ env_var(\"A\") }}'");
  writeFileSync(path.join(projectDir, "models/b.sql"), "select '{{ env_var(\"B\") }}'");
  writeFileSync(path.join(projectDir, "models/notes.md"), "env_var('NOT')");
  for (const name of ["dbt_project.yml", "models/a.sql", "models/b.sql", "models/notes.md"])
    age(path.join(projectDir, name));
  return { projectDir, cacheDir: path.join(root, "cache") };
}

/** Sets the mtime back; only the ctime stays young. */
function age(file: string): void {
  utimesSync(file, 1_600_000_000.123, 1_600_000_000.123);
}

const scan = (text: string): string[] => [...text.matchAll(/env_var\(["'](\w+)/g)].map((match) => match[1] ?? "");
const take = (options: TakeOptions): Promise<Snapshot> => takeSnapshot({ scan, ...options });

/** Files that are just written are too young for the cache; waits until theirs is a state that it trusts. */
async function takeSettled(options: TakeOptions): Promise<Snapshot> {
  const deadline = Date.now() + 10_000;
  while (true) {
    const snapshot = await take(options);
    if (snapshot.stats.hashedFiles === 0) return snapshot;
    assert.ok(Date.now() < deadline, "the cache never settled");
  }
}

const entryOf = (snapshot: Snapshot, name: string): SnapshotEntry => {
  const entry = snapshot.entries.find((item) => item.path === name);
  assert.ok(entry, `${name} is in the snapshot`);
  return entry;
};

async function read(content: Buffer | Readable): Promise<Buffer> {
  return Buffer.isBuffer(content) ? content : Buffer.concat(await content.toArray());
}

test("a snapshot has its files' hashes and the names of the variables they use", async (t) => {
  const options = setUp(t);
  const first = await take(options);
  assert.deepEqual(
    first.entries.map(({ path: name }) => name),
    ["dbt_project.yml", "models/a.sql", "models/b.sql", "models/notes.md"],
  );
  assert.deepEqual(first.envNames, ["A", "B"]);
  assert.equal(first.projectDir, ".");
  assert.equal(first.stats.hashedFiles, 4);
  const content = await read(first.open(entryOf(first, "models/a.sql")));
  assert.equal(content.toString(), "select '{{ env_var(\"A\") }}'");
});

test("an unchanged project is not read again, and gives the same snapshot", async (t) => {
  const options = setUp(t);
  const first = await take(options);
  const second = await takeSettled(options);
  assert.equal(second.id, first.id);
  assert.deepEqual(second.entries, first.entries);
  assert.deepEqual(second.envNames, ["A", "B"]);
  const cache = readdirSync(options.cacheDir).map((name) => path.join(options.cacheDir, name));
  const before = cache.map((file) => statSync(file).mtimeMs);
  await take(options);
  assert.deepEqual(
    cache.map((file) => statSync(file).mtimeMs),
    before,
    "nor is the cache written",
  );
});

test("a change of equal size and mtime is seen", async (t) => {
  const options = setUp(t);
  const first = await takeSettled(options);
  const file = path.join(options.projectDir, "models/a.sql");
  writeFileSync(file, readFileSync(file, "utf8").replace('"A"', '"C"'));
  age(file);
  const second = await take(options);
  assert.notEqual(second.id, first.id);
  assert.deepEqual(second.envNames, ["B", "C"]);
  assert.equal(second.stats.hashedFiles, 1);
});

test("another file of equal size and times put in a file's place is seen", async (t) => {
  const options = setUp(t);
  const first = await takeSettled(options);
  const file = path.join(options.projectDir, "models/a.sql");
  const other = path.join(options.projectDir, "other");
  writeFileSync(other, readFileSync(file, "utf8").replace('"A"', '"C"'));
  age(other);
  renameSync(other, file);
  assert.notEqual((await take(options)).id, first.id);
});

test("two writes in the moment of the snapshot are told apart", async (t) => {
  const options = setUp(t);
  const file = path.join(options.projectDir, "models/a.sql");
  for (let i = 0; i < 50; i++) {
    writeFileSync(file, `select ${100 + i}`);
    const snapshot = await take(options);
    const entry = entryOf(snapshot, "models/a.sql");
    assert.equal((await read(snapshot.open(entry))).toString(), `select ${100 + i}`);
  }
});

for (const [what, spoil] of Object.entries({
  truncated: (text: string) => text.slice(0, text.length / 2),
  "of another version": (text: string) => text.replace('"version":1', '"version":0'),
  "not JSON": () => "\0\0\0",
  "of the wrong shape": (text: string) => text.replace(/"files":\[.*\]/, '"files":[[1,2,3]]'),
  empty: () => "",
}))
  test(`a cache that is ${what} is not believed`, async (t) => {
    const options = setUp(t);
    const first = await takeSettled(options);
    for (const name of readdirSync(options.cacheDir)) {
      const file = path.join(options.cacheDir, name);
      writeFileSync(file, spoil(readFileSync(file, "utf8")));
    }
    const second = await take(options);
    assert.equal(second.id, first.id);
    assert.equal(second.stats.hashedFiles, 4);
  });

test("without a folder for the cache, or with one that can't be written, all is hashed", async (t) => {
  const options = setUp(t);
  const { id } = await take(options);
  assert.equal((await take({ ...options, cacheDir: undefined })).id, id);
  const file = path.join(options.projectDir, "dbt_project.yml");
  assert.equal((await take({ ...options, cacheDir: path.join(file, "cache") })).id, id);
});

test("another scan voids the names", async (t) => {
  const options = setUp(t);
  await takeSettled(options);
  const other = await takeSnapshot({ ...options, scan: () => ["OTHER"], scanVersion: "2" });
  assert.deepEqual(other.envNames, ["OTHER"]);
});

test("the last snapshot of each server is remembered", async (t) => {
  const options = setUp(t);
  const first = await take(options);
  assert.equal(first.cache.lastSnapshot("http://a"), undefined);
  first.cache.rememberSnapshot("http://a", first);
  const second = await take(options);
  assert.deepEqual(second.cache.lastSnapshot("http://a"), { id: first.id, entries: first.entries });
  assert.equal(second.cache.lastSnapshot("http://b"), undefined);
});

test("a file that changes before it is sent is an error that says to try again", async (t) => {
  const options = setUp(t);
  const big = path.join(options.projectDir, "models/big.csv");
  writeFileSync(big, Buffer.alloc(3_000_000, "x"));
  const snapshot = await take(options);
  const [a, b, bigEntry] = ["a.sql", "b.sql", "big.csv"].map((name) => entryOf(snapshot, `models/${name}`));
  assert.ok(a && b && bigEntry);
  assert.equal((await read(snapshot.open(bigEntry, 2_999_990))).toString(), "x".repeat(10));

  const file = (name: string): string => path.join(options.projectDir, "models", name);
  writeFileSync(file("a.sql"), readFileSync(file("a.sql"), "utf8").replace("A", "Z"));
  rmSync(file("b.sql"));
  const isChanged = (error: unknown): boolean =>
    error instanceof AppError && error.code === "project_changed" && /again/.test(error.hint ?? "");
  assert.throws(() => snapshot.open(a), isChanged);
  assert.throws(() => snapshot.open(b), isChanged);
  writeFileSync(big, Buffer.alloc(3_000_000, "y"));
  await assert.rejects(async () => await read(snapshot.open(bigEntry)), isChanged);
  await assert.rejects(async () => await read(snapshot.open(bigEntry, 2_000_000)), isChanged);
  appendFileSync(big, "more");
  await assert.rejects(async () => await read(snapshot.open(bigEntry)), isChanged);
  rmSync(big);
  await assert.rejects(async () => await read(snapshot.open(bigEntry)), isChanged);
});

test("5,000 files", async (t) => {
  const options = setUp(t);
  for (let i = 0; i < 50; i++) {
    const folder = path.join(options.projectDir, `models/area_${i}`);
    mkdirSync(folder);
    for (let j = 0; j < 100; j++) writeFileSync(path.join(folder, `model_${j}.sql`), `select ${i * 1000 + j} as id`);
  }
  const timed = async (what: string, work: () => Promise<Snapshot>): Promise<Snapshot> => {
    const start = performance.now();
    const snapshot = await work();
    t.diagnostic(`${what}: ${Math.round(performance.now() - start)} ms, ${snapshot.stats.hashedFiles} files hashed`);
    return snapshot;
  };
  const first = await timed("cold", () => take(options));
  assert.equal(first.entries.length, 5004);
  const settled = await takeSettled(options);
  assert.equal(settled.id, first.id);
  await timed("nothing changed", () => take(options));
  await timed("nothing changed, again", () => take(options));
});
