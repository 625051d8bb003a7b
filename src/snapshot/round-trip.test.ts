import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { snapshotId, toRow } from "./entry.ts";
import { parseEntries } from "./entry-rules.ts";
import { contentPack, planPacks } from "./pack.ts";
import { readPack } from "./read-pack.ts";
import { bringTo } from "./restore.ts";
import { type Snapshot, takeSnapshot } from "./take.ts";

const LIMITS = { maxEntries: 1000, maxBytes: 100_000_000, maxEntryBytes: 10_000_000 };

interface RandomFile {
  readonly name: string;
  readonly text: string;
  readonly kind: "file" | "program" | "link";
}

const name = fc
  .array(
    fc.oneof(
      fc.stringMatching(/^[a-zA-Z0-9_-]{1,12}$/),
      fc.constantFrom("ü", "日本", "e\u0301", "😀", "a b", "'", '"$x', "x".repeat(120)),
    ),
    { minLength: 1, maxLength: 3 },
  )
  .map((parts) => parts.join("/"));
const files: fc.Arbitrary<RandomFile[]> = fc
  .array(
    fc.record({
      name,
      text: fc.oneof(fc.string(), fc.constant(""), fc.constant("y".repeat(1_200_000))),
      kind: fc.constantFrom("file", "file", "program", "link"),
    }),
    { maxLength: 10 },
  )
  .map((list) =>
    list.filter(
      ({ name: one }, i) =>
        !list
          .slice(0, i)
          .some(({ name: other }) => `${other}/`.startsWith(`${one}/`) || `${one}/`.startsWith(`${other}/`)),
    ),
  );

function writeProject(projectDir: string, list: readonly RandomFile[]): void {
  rmSync(projectDir, { recursive: true, force: true });
  mkdirSync(path.join(projectDir, "models"), { recursive: true });
  writeFileSync(path.join(projectDir, "dbt_project.yml"), "name: shop");
  for (const { name: file, text, kind } of list) {
    const place = path.join(projectDir, "models", file);
    mkdirSync(path.dirname(place), { recursive: true });
    if (kind === "link")
      symlinkSync(path.relative(path.dirname(place), path.join(projectDir, "dbt_project.yml")), place);
    else writeFileSync(place, text, { mode: kind === "program" ? 0o755 : 0o644 });
  }
}

/** Sends what a store lacks, as a client and a server do between them. */
async function send(snapshot: Snapshot, store: Map<string, Buffer>): Promise<void> {
  const missing = snapshot.entries.filter((entry) => !store.has(entry.sha256));
  const { packs, large } = planPacks(missing);
  assert.equal(large.length, 0);
  for (const group of packs)
    for await (const item of readPack(
      contentPack(group, (entry) => snapshot.open(entry)),
      LIMITS,
    ))
      store.set(item.path, await item.bytes());
}

function assertSame(projectDir: string, root: string, list: readonly RandomFile[]): void {
  for (const { name: file, text, kind } of list) {
    const [here, there] = [path.join(projectDir, "models", file), path.join(root, "models", file)];
    if (kind === "link") assert.equal(readlinkSync(there), readlinkSync(here));
    else {
      assert.equal(readFileSync(there, "utf8"), text);
      assert.equal((lstatSync(there).mode & 0o100) !== 0, kind === "program");
    }
  }
}

test("a project that is taken, sent and restored is the same project, then the next state of it too", async (t) => {
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), "round-trip-")));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const projectDir = path.join(dir, "shop");
  const store = new Map<string, Buffer>();
  let round = 0;
  await fc.assert(
    fc.asyncProperty(files, files, async (first, second) => {
      const base = path.join(dir, String(round++));
      const root = path.join(base, "root");
      for (const list of [first, second]) {
        writeProject(projectDir, list);
        const snapshot = await takeSnapshot({ projectDir, cacheDir: path.join(dir, "cache") });
        await send(snapshot, store);
        const next = parseEntries(JSON.parse(JSON.stringify(snapshot.entries.map(toRow))));
        assert.equal(snapshotId(next), snapshot.id);
        assert.equal(next.length, list.length + 1);
        await bringTo({
          root,
          indexFile: path.join(base, "index.json"),
          next,
          source: (sha256) => ({ read: async () => Readable.from([store.get(sha256) ?? Buffer.from("absent")]) }),
        });
        assertSame(projectDir, root, list);
      }
      const names = new Set(second.map((file) => file.name));
      for (const file of first) {
        const isFolderNow = [...names].some((other) => other.startsWith(`${file.name}/`));
        if (!names.has(file.name) && !isFolderNow) assert.ok(!existsSync(path.join(root, "models", file.name)));
      }
      rmSync(base, { recursive: true });
    }),
    { numRuns: 25 },
  );
});
