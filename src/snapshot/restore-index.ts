/** What a restore has put into a root: kept beside the root, so that the next one can tell what was altered since. */
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, type Stats, writeFileSync } from "node:fs";
import path from "node:path";
import type { SnapshotEntry } from "./entry.ts";

const VERSION = 1;

/** A file as it was left. Times are ms since the epoch. Without times: it may or may not have been written. */
export interface RestoredFile {
  readonly path: string;
  readonly sha256: string;
  readonly mtimeMs?: number;
  readonly ctimeMs?: number;
}

export interface RestoreIndex {
  readonly files: ReadonlyMap<string, RestoredFile>;
  /** The newest mtime ever given; later ones are newer. */
  readonly lastMtimeMs: number;
}

type Row = [path: string, sha256: string, mtimeMs?: number, ctimeMs?: number];

/** Whether a file is as it was left, by its stat. */
export function isUntouched(restored: RestoredFile | undefined, entry: SnapshotEntry, stats: Stats): boolean {
  return (
    restored?.sha256 === entry.sha256 &&
    stats.size === entry.size &&
    stats.mtimeMs === restored.mtimeMs &&
    stats.ctimeMs === restored.ctimeMs
  );
}

/** An index that is absent or broken reads as empty: then every file is compared by content. */
export function loadRestoreIndex(file: string): RestoreIndex {
  try {
    const value: unknown = JSON.parse(readFileSync(file, "utf8"));
    const { version, lastMtimeMs, files } = value as { version?: unknown; lastMtimeMs?: unknown; files?: unknown };
    if (version !== VERSION || typeof lastMtimeMs !== "number" || !Array.isArray(files)) throw new Error("unknown");
    const rows = files as Row[];
    const restored = rows.map(([name, sha256, mtimeMs, ctimeMs]): RestoredFile => {
      if (typeof name !== "string" || typeof sha256 !== "string") throw new Error("not a row");
      const times = mtimeMs === undefined || ctimeMs === undefined ? {} : { mtimeMs, ctimeMs };
      return { path: name, sha256, ...times };
    });
    return { files: new Map(restored.map((item) => [item.path, item])), lastMtimeMs };
  } catch {
    return { files: new Map(), lastMtimeMs: 0 };
  }
}

/** Replaces the index atomically. */
export function saveRestoreIndex(file: string, { files, lastMtimeMs }: RestoreIndex): void {
  const rows = [...files.values()].map((item): Row => {
    const { mtimeMs, ctimeMs } = item;
    return mtimeMs === undefined || ctimeMs === undefined
      ? [item.path, item.sha256]
      : [item.path, item.sha256, mtimeMs, ctimeMs];
  });
  mkdirSync(path.dirname(file), { recursive: true });
  const draft = `${file}.${randomUUID()}`;
  try {
    writeFileSync(draft, JSON.stringify({ version: VERSION, lastMtimeMs, files: rows }), { mode: 0o600 });
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}
