/** What the tests of a restore work with: trees of files in one notation, and a place to bring them to. */
import assert from "node:assert/strict";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import type { TestContext } from "node:test";
import { type SnapshotEntry, type SnapshotMode, sortByPath } from "../src/snapshot/entry.ts";
import { sha256Of } from "../src/snapshot/hash.ts";
import { type BringToOptions, bringTo } from "../src/snapshot/restore.ts";

/** Path to text; `→text` is a link, a path that ends with `.sh` an executable file. */
export type Tree = Readonly<Record<string, string>>;

/** A root to restore into, a folder beside it, and a store of contents. */
export interface RestoreBench {
  readonly root: string;
  readonly outside: string;
  bring(tree: Tree, options?: Partial<BringToOptions>): ReturnType<typeof bringTo>;
  file(name: string): string;
}

/** A bench that goes when the test ends. */
export function restoreBench(t: TestContext): RestoreBench {
  const dir = mkdtempSync(path.join(tmpdir(), "restore-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return restoreBenchIn(dir);
}

/** Several may stand in folders of their own. */
export function restoreBenchIn(dir: string): RestoreBench {
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
      for (const content of Object.values(tree).map(contentOf))
        writeFileSync(path.join(store, sha256Of(content)), content);
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

const contentOf = (text: string): string => (text.startsWith("→") ? text.slice(1) : text);
const modeOf = (name: string, text: string): SnapshotMode =>
  text.startsWith("→") ? "120000" : name.endsWith(".sh") ? "100755" : "100644";

/** A tree as a snapshot tells of it. */
export function entriesOf(tree: Tree): SnapshotEntry[] {
  return sortByPath(
    Object.entries(tree).map(([name, text]) => {
      const content = contentOf(text);
      return { path: name, mode: modeOf(name, text), sha256: sha256Of(content), size: Buffer.byteLength(content) };
    }),
  );
}

/** What stands in a folder, in the same words. */
export function treeOf(folder: string, prefix = ""): Record<string, string> {
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

/** When the files were last written. */
export const mtimes = (root: string, names: readonly string[]): Map<string, number> =>
  new Map(names.map((name) => [name, lstatSync(path.join(root, name)).mtimeMs]));
