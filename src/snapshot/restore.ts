/**
 * Brings a folder to a snapshot by writing only what differs. A file that is written gets a newer mtime than it ever
 * had, one that is left keeps its own: dbt does not read a YAML file again whose mtime is the same.
 */
import { lstatSync, mkdirSync, readlinkSync, type Stats } from "node:fs";
import { AppError } from "../core/errors.ts";
import type { SnapshotEntry } from "./entry.ts";
import { hashFile, sha256Of } from "./hash.ts";
import { createPlace, type Place } from "./place.ts";
import { type ContentSource, putContent } from "./put-content.ts";
import {
  isUntouched,
  loadRestoreIndex,
  type RestoredFile,
  type RestoreIndex,
  saveRestoreIndex,
} from "./restore-index.ts";

export interface BringToOptions {
  /** Absolute path; made where it does not exist. */
  readonly root: string;
  /** Where this module keeps its index, outside the root. */
  readonly indexFile: string;
  /** The snapshot that the root was brought to before, where the caller knows it; the index knows it too. */
  readonly previous?: readonly SnapshotEntry[] | undefined;
  readonly next: readonly SnapshotEntry[];
  readonly source: (sha256: string) => ContentSource;
  /** Warehouse files, relative to the root: neither they nor what a database keeps beside them is ever touched. */
  readonly protect?: readonly string[];
  /** Aborts between two files; the next call goes on from there. */
  readonly signal?: AbortSignal;
}

export interface BringToResult {
  readonly written: readonly string[];
  readonly removed: readonly string[];
  readonly kept: number;
}

/** How many contents are fetched at once. */
const CONCURRENCY = 8;

/**
 * Brings the root to `next`. Files that runs made stay, unless they stand where a file of the snapshot belongs; only
 * files of an earlier snapshot are removed. Killed at any moment, the next call converges. Not for two callers at once.
 */
export async function bringTo(options: BringToOptions): Promise<BringToResult> {
  const { root, next, indexFile } = options;
  mkdirSync(root, { recursive: true });
  const place = createPlace(root, options.protect ?? []);
  const index = loadRestoreIndex(indexFile);
  const { keep, write } = await compare(place, index, next);

  const wanted = new Set(next.map((entry) => entry.path));
  const known = new Set([...index.files.keys(), ...(options.previous ?? []).map((entry) => entry.path)]);
  const gone = [...known].filter((path) => !wanted.has(path));
  const isSame = write.length === 0 && gone.length === 0 && sameIndex(index, keep);
  if (isSame) return { written: [], removed: [], kept: keep.size };

  // Said before it is done: should this be killed midway, the next call knows every path that may have been written.
  const intended = new Map<string, RestoredFile>(
    gone.map((path) => [path, index.files.get(path) ?? { path, sha256: "" }]),
  );
  for (const { path, sha256 } of write) intended.set(path, { path, sha256 });
  for (const [path, file] of keep) intended.set(path, file);
  const mtimeMs = newerThanAll(place, index, write);
  saveRestoreIndex(indexFile, { files: intended, lastMtimeMs: mtimeMs });

  const removed = gone.filter((path) => place.remove(path));
  for (const { path } of write) place.clear(path);
  await inParallel(write, async (entry) => {
    options.signal?.throwIfAborted();
    keep.set(entry.path, await writeEntry(place, entry, options.source(entry.sha256), mtimeMs));
  });
  saveRestoreIndex(indexFile, { files: keep, lastMtimeMs: mtimeMs });
  return { written: write.map((entry) => entry.path), removed, kept: next.length - write.length };
}

interface Comparison {
  /** Entries that stand as they should, as the index is to remember them. */
  readonly keep: Map<string, RestoredFile>;
  readonly write: SnapshotEntry[];
}

async function compare(place: Place, index: RestoreIndex, next: readonly SnapshotEntry[]): Promise<Comparison> {
  const keep = new Map<string, RestoredFile>();
  const write: SnapshotEntry[] = [];
  for (const entry of next) {
    if (place.isProtected(entry.path)) continue;
    const stats = place.statInside(entry.path);
    const restored = index.files.get(entry.path);
    if (stats === undefined) {
      write.push(entry);
    } else if (entry.mode === "120000") {
      const text = stats.isSymbolicLink() ? readlinkSync(place.absolute(entry.path)) : undefined;
      if (text !== undefined && sha256Of(text) === entry.sha256) keep.set(entry.path, remember(entry, stats));
      else write.push(entry);
    } else if (!stats.isFile()) {
      write.push(entry);
    } else if (isUntouched(restored, entry, stats) && hasMode(entry, stats)) {
      keep.set(entry.path, remember(entry, stats));
    } else if (await hasContent(place.absolute(entry.path), entry, stats)) {
      // The right content with unknown times: nothing that dbt could have missed, so its mtime may stay.
      place.setMode(entry.path, isExecutable(entry));
      keep.set(entry.path, remember(entry, lstatSync(place.absolute(entry.path))));
    } else {
      write.push(entry);
    }
  }
  return { keep, write };
}

const isExecutable = (entry: SnapshotEntry): boolean => entry.mode === "100755";
const hasMode = (entry: SnapshotEntry, stats: Stats): boolean =>
  process.platform === "win32" || ((stats.mode & 0o100) !== 0) === isExecutable(entry);

function remember({ path, sha256 }: SnapshotEntry, { mtimeMs, ctimeMs }: Stats): RestoredFile {
  return { path, sha256, mtimeMs, ctimeMs };
}

async function hasContent(absolute: string, entry: SnapshotEntry, stats: Stats): Promise<boolean> {
  if (stats.size !== entry.size) return false;
  return (await hashFile(absolute, stats.size)).sha256 === entry.sha256;
}

function sameIndex(index: RestoreIndex, keep: ReadonlyMap<string, RestoredFile>): boolean {
  if (index.files.size !== keep.size) return false;
  for (const [path, { sha256, mtimeMs, ctimeMs }] of keep) {
    const old = index.files.get(path);
    if (old?.sha256 !== sha256 || old.mtimeMs !== mtimeMs || old.ctimeMs !== ctimeMs) return false;
  }
  return true;
}

/** An mtime newer than now's predecessors, than any given before, and than those of the files to be replaced. */
function newerThanAll(place: Place, index: RestoreIndex, write: readonly SnapshotEntry[]): number {
  let newest = Math.max(Date.now(), Math.floor(index.lastMtimeMs) + 1);
  for (const { path } of write) {
    const stats = place.statInside(path);
    if (stats?.isFile() && stats.mtimeMs >= newest) newest = Math.floor(stats.mtimeMs) + 1;
  }
  return newest;
}

async function writeEntry(
  place: Place,
  entry: SnapshotEntry,
  source: ContentSource,
  mtimeMs: number,
): Promise<RestoredFile> {
  try {
    await putContent(place.absolute(entry.path), entry, source, mtimeMs);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && (cause.code === "ENOSPC" || cause.code === "EDQUOT"))
      throw new AppError(
        "disk_full",
        `No space is left to write ${entry.path} (${entry.size} bytes) in ${place.root}.`,
        {
          hint: "Free some space, then run the same command again.",
          cause,
        },
      );
    throw cause;
  }
  return remember(entry, lstatSync(place.absolute(entry.path)));
}

/** Fails with the first error, once the calls that were under way have ended. */
async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (failed) return;
      try {
        await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: CONCURRENCY }, worker));
  const failure = results.find((result) => result.status === "rejected");
  if (failure !== undefined) throw failure.reason;
}
