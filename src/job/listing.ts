/** Which files of some folders a run made or changed. */
import { lstatSync, readdirSync, type Stats } from "node:fs";
import { join } from "node:path";

interface Stamp {
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly inode: number;
}

/** Files by absolute path. Links are none. */
export type Listing = ReadonlyMap<string, Stamp>;

/** Of everything below the folders, and of single files. What is not there is left out. */
export function listFiles(paths: readonly string[]): Listing {
  const found = new Map<string, Stamp>();
  for (const path of paths) visit(path, found);
  return found;
}

/** Paths that are new or differ in anything that the file system tells. */
export function changedFiles(before: Listing, after: Listing): string[] {
  const changed: string[] = [];
  for (const [path, now] of after) {
    const was = before.get(path);
    const isSame =
      was !== undefined &&
      was.size === now.size &&
      was.mtimeMs === now.mtimeMs &&
      was.ctimeMs === now.ctimeMs &&
      was.inode === now.inode;
    if (!isSame) changed.push(path);
  }
  return changed;
}

function visit(path: string, found: Map<string, Stamp>): void {
  const stats = statOf(path);
  if (stats?.isDirectory()) {
    for (const name of namesIn(path)) visit(join(path, name), found);
  } else if (stats?.isFile()) {
    found.set(path, { size: stats.size, mtimeMs: stats.mtimeMs, ctimeMs: stats.ctimeMs, inode: stats.ino });
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    // A file stands where a folder would lead there.
    return undefined;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
