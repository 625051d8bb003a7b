/** What a snapshot is: a sorted list of files by path, mode and content hash, and the id made of it. Pure. */
import { createHash } from "node:crypto";

/** As in git: a file, an executable file, a symbolic link (whose content is the text of the link). */
export const SNAPSHOT_MODES = ["100644", "100755", "120000"] as const;
export type SnapshotMode = (typeof SNAPSHOT_MODES)[number];

/** One file of a snapshot. `path` is relative to the snapshot's root and `/`-separated, `size` is in bytes. */
export interface SnapshotEntry {
  readonly path: string;
  readonly mode: SnapshotMode;
  readonly sha256: string;
  readonly size: number;
}

/** An entry as it travels and is stored. */
export type SnapshotRow = [path: string, mode: SnapshotMode, sha256: string, size: number];

/** What leads from one snapshot to another. */
export interface SnapshotDelta {
  readonly remove: string[];
  readonly put: SnapshotEntry[];
}

export function toRow(entry: SnapshotEntry): SnapshotRow {
  return [entry.path, entry.mode, entry.sha256, entry.size];
}

/** Of a row that is known to be valid; rows from outside go through `parseEntries`. */
export function fromRow([path, mode, sha256, size]: SnapshotRow): SnapshotEntry {
  return { path, mode, sha256, size };
}

const rank = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);

/** Order of the UTF-8 bytes, which differs from the order of JavaScript's UTF-16 units beyond U+D7FF. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = rank(a.charCodeAt(i)) - rank(b.charCodeAt(i));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** A sorted copy; JavaScript's own comparison serves where no path has a unit that sorts otherwise. */
export function sortByPath<T extends { readonly path: string }>(items: readonly T[]): T[] {
  const exotic = items.some((item) => /[\ud800-\uffff]/.test(item.path));
  const compare = exotic ? compareUtf8 : (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return [...items].sort((a, b) => compare(a.path, b.path));
}

/** `v1-` and the SHA-256 of the JSON array of [path, mode, sha256], without blanks, in order of the paths' bytes. */
export function snapshotId(entries: readonly SnapshotEntry[]): string {
  const rows = sortByPath(entries).map((entry) => [entry.path, entry.mode, entry.sha256]);
  return `v1-${createHash("sha256").update(JSON.stringify(rows)).digest("hex")}`;
}

function same(a: SnapshotEntry, b: SnapshotEntry): boolean {
  return a.mode === b.mode && a.sha256 === b.sha256 && a.size === b.size;
}

/** The delta that makes `next` of `base`. */
export function diffEntries(base: readonly SnapshotEntry[], next: readonly SnapshotEntry[]): SnapshotDelta {
  const before = new Map(base.map((entry) => [entry.path, entry]));
  const put: SnapshotEntry[] = [];
  for (const entry of next) {
    const old = before.get(entry.path);
    if (old === undefined || !same(old, entry)) put.push(entry);
    before.delete(entry.path);
  }
  return { remove: [...before.keys()], put };
}
