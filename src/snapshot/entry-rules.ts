/** The rules for entries that come from outside: what a path, an entry, a tree and a link may be. Pure. */
import { AppError } from "../core/errors.ts";
import { SNAPSHOT_MODES, type SnapshotEntry, type SnapshotMode, sortByPath } from "./entry.ts";

const MAX_ENTRIES = 200_000;
const MAX_PATH_BYTES = 4096;
const MAX_SEGMENT_BYTES = 255;
const MAX_LINK_BYTES = 4096;
const SHA256 = /^[0-9a-f]{64}$/;

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** What nearly every path looks like; nothing in it needs a closer look. */
const PLAIN_PATH = /^[\w-][\w.-]*(?:\/[\w-][\w.-]*)*$/;

/** Why a path may not stand in a snapshot or pack, or undefined where it may. */
export function pathProblem(path: string): string | undefined {
  if (path.length <= MAX_SEGMENT_BYTES && PLAIN_PATH.test(path)) return undefined;
  if (path === "") return "is empty";
  if (path.includes("\0")) return "holds a NUL";
  if (path.includes("\\")) return "holds a backslash";
  if (/\p{Surrogate}/u.test(path)) return "is not Unicode";
  if (path.startsWith("/") || /^[A-Za-z]:/.test(path)) return "is not relative";
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `is longer than ${MAX_PATH_BYTES} bytes`;
  for (const segment of path.split("/")) {
    if (segment === "" || segment === "." || segment === "..") return `has the part ${JSON.stringify(segment)}`;
    // A segment of n characters has at most 3n bytes: only long ones need counting.
    if (segment.length > MAX_SEGMENT_BYTES / 3 && Buffer.byteLength(segment) > MAX_SEGMENT_BYTES)
      return `has a part longer than ${MAX_SEGMENT_BYTES} bytes`;
  }
  return undefined;
}

function isMode(value: unknown): value is SnapshotMode {
  return SNAPSHOT_MODES.some((mode) => mode === value);
}

function parseEntry(row: unknown): SnapshotEntry {
  if (!Array.isArray(row) || row.length !== 4)
    throw new AppError("bad_request", `A snapshot's entry must be [path, mode, sha256, size], not ${show(row)}.`);
  const [path, mode, sha256, size]: unknown[] = row;
  if (typeof path !== "string") throw new AppError("bad_request", `A snapshot's path is ${show(path)}, not a string.`);
  const problem = pathProblem(path);
  if (problem !== undefined) throw new AppError("path_outside", `The snapshot's path ${show(path)} ${problem}.`);
  if (!isMode(mode)) throw new AppError("bad_request", `The mode of ${show(path)} is ${show(mode)}.`);
  if (typeof sha256 !== "string" || !SHA256.test(sha256))
    throw new AppError("bad_request", `The hash of ${show(path)} is ${show(sha256)}, not a SHA-256 in lower-case hex.`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw new AppError("bad_request", `The size of ${show(path)} is ${show(size)}.`);
  if (mode === "120000" && (size === 0 || size > MAX_LINK_BYTES))
    throw new AppError("bad_request", `The link ${show(path)} has a text of ${size} bytes.`);
  return { path, mode, sha256, size };
}

/** Throws where two entries can't stand in one tree. */
function checkTree(entries: readonly SnapshotEntry[]): void {
  const paths = new Set<string>();
  for (const { path } of entries) {
    if (paths.has(path)) throw new AppError("bad_request", `The snapshot has ${show(path)} twice.`);
    paths.add(path);
  }
  const folders = new Set<string>();
  for (const { path } of entries) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const folder = path.slice(0, end);
      if (folders.has(folder)) break;
      if (paths.has(folder))
        throw new AppError("bad_request", `The snapshot has ${show(folder)} both as a file and as a folder.`);
      folders.add(folder);
    }
  }
}

/** Entries from outside, as rows of [path, mode, sha256, size]; sorted. Throws `AppError` at the first bad one. */
export function parseEntries(rows: unknown): SnapshotEntry[] {
  const entries = parseRows(rows);
  checkTree(entries);
  return sortByPath(entries);
}

function parseRows(rows: unknown): SnapshotEntry[] {
  if (!Array.isArray(rows)) throw new AppError("bad_request", "A snapshot must be an array of entries.");
  if (rows.length > MAX_ENTRIES)
    throw new AppError("too_large", `The snapshot has ${rows.length} files; ${MAX_ENTRIES} is the most.`);
  return rows.map(parseEntry);
}

/** The tree that `remove` and then `put` (rows from outside) make of `base`; sorted and checked. */
export function applyDelta(base: readonly SnapshotEntry[], remove: readonly string[], put: unknown): SnapshotEntry[] {
  const tree = new Map(base.map((entry) => [entry.path, entry]));
  for (const path of remove) tree.delete(path);
  const added = parseRows(put);
  if (new Set(added.map((entry) => entry.path)).size !== added.length) checkTree(added);
  for (const entry of added) tree.set(entry.path, entry);
  if (tree.size > MAX_ENTRIES)
    throw new AppError("too_large", `The snapshot has ${tree.size} files; ${MAX_ENTRIES} is the most.`);
  const entries = [...tree.values()];
  checkTree(entries);
  return sortByPath(entries);
}

/**
 * Whether a link's text stays in its tree: relative, and `..` only at its start. A `..` behind a name could climb out
 * through another link; without one, each step goes down from a true folder, so no chain of such links leaves.
 */
export function linkStaysInside(path: string, text: string): boolean {
  if (text === "" || text.startsWith("/") || text.includes("\0") || text.includes("\\")) return false;
  if (/^[A-Za-z]:/.test(text) || Buffer.byteLength(text) > MAX_LINK_BYTES) return false;
  let depth = path.split("/").length - 1;
  let down = false;
  for (const part of text.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") down = true;
    else if (down || --depth < 0) return false;
  }
  return true;
}

/** Throws `path_outside` naming the link where its text leaves the snapshot. */
export function checkLinkTarget(path: string, text: string): void {
  if (!linkStaysInside(path, text))
    throw new AppError("path_outside", `The link ${path} points to ${show(text)}, which leaves the snapshot.`);
}
