/** Remembers the hash of each file by its stat, so that a project that did not change is not read again. */
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fromRow, type SnapshotEntry, type SnapshotRow, toRow } from "./entry.ts";
import { sha256Of } from "./hash.ts";

const VERSION = 1;

/** What identifies a state of a file. Times are ms since the epoch. */
export interface FileStat {
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly ino: number;
}

export interface CachedFile {
  readonly sha256: string;
  /** Names of environment variables that the file uses. */
  readonly envNames: readonly string[];
}

/** A snapshot that a server is known to hold. */
export interface KnownSnapshot {
  readonly id: string;
  readonly entries: readonly SnapshotEntry[];
}

export interface StatCache {
  /** Undefined where the file is unknown, changed, or too young to be trusted. */
  lookup(file: FileStat & { readonly path: string }): CachedFile | undefined;
  /** Takes what the present run learnt; it is used by the next. */
  record(file: FileStat & { readonly path: string }, cached: CachedFile): void;
  /** Writes the cache, restricted to these paths. Does nothing where nothing changed; never throws. */
  save(paths: ReadonlySet<string>): void;
  /** The last snapshot that this server took. */
  lastSnapshot(serverKey: string): KnownSnapshot | undefined;
  rememberSnapshot(serverKey: string, snapshot: KnownSnapshot): void;
}

export interface StatCacheOptions {
  /** The folder of all caches; made where needed. Undefined: nothing is kept. */
  readonly dir: string | undefined;
  /** The snapshot's root, which the cache is keyed on. */
  readonly root: string;
  /** Changes when the scan for names does, which voids the names found. */
  readonly scanVersion?: string;
  /** Read before the walk: files that are not older are hashed again the next time. Default: the clock. */
  readonly nowMs?: number;
}

type Row = [
  path: string,
  size: number,
  mtimeMs: number,
  ctimeMs: number,
  ino: number,
  sha256: string,
  names?: string[],
];

/**
 * How much older than the cache a file must be for its stat to be trusted. A file system's clock ticks in steps
 * (up to 10 ms; whole seconds on some), and two writes within one step leave the same times.
 */
function isSettled(file: FileStat, cacheMs: number): boolean {
  const youngest = Math.max(file.mtimeMs, file.ctimeMs);
  return youngest < cacheMs - (Number.isInteger(youngest / 1000) ? 2000 : 20);
}

/** Opens the cache of one root. A cache that is absent, broken or of another version counts as empty. */
export function openStatCache(options: StatCacheOptions): StatCache {
  const { dir, root } = options;
  const nowMs = options.nowMs ?? Date.now();
  const scanVersion = options.scanVersion ?? "";
  const key = sha256Of(root).slice(0, 32);
  const file = dir === undefined ? undefined : path.join(dir, `${key}.json`);
  const loaded = file === undefined ? undefined : load(file, root, scanVersion);
  const rows = loaded?.rows ?? new Map<string, Row>();
  const trustedMs = loaded?.writtenMs ?? 0;
  let dirty = false;

  const snapshotFile = (serverKey: string): string | undefined =>
    dir === undefined ? undefined : path.join(dir, `${key}-${sha256Of(serverKey).slice(0, 16)}.json`);

  return {
    lookup(stat) {
      const row = rows.get(stat.path);
      if (row === undefined || !isSettled(stat, trustedMs)) return undefined;
      const [, size, mtimeMs, ctimeMs, ino, sha256, envNames = []] = row;
      const same = size === stat.size && mtimeMs === stat.mtimeMs && ctimeMs === stat.ctimeMs && ino === stat.ino;
      return same ? { sha256, envNames } : undefined;
    },
    record(stat, { sha256, envNames }) {
      const row: Row = [stat.path, stat.size, stat.mtimeMs, stat.ctimeMs, stat.ino, sha256];
      if (envNames.length > 0) row.push([...envNames]);
      rows.set(stat.path, row);
      dirty = true;
    },
    save(paths) {
      if (file === undefined || (!dirty && paths.size === rows.size)) return;
      const kept = [...rows.values()].filter(([name]) => paths.has(name));
      const text = JSON.stringify({ version: VERSION, root, scanVersion, writtenMs: nowMs, files: kept });
      writeAtomically(file, text);
      dirty = false;
    },
    lastSnapshot(serverKey) {
      const place = snapshotFile(serverKey);
      return place === undefined ? undefined : loadSnapshot(place, serverKey);
    },
    rememberSnapshot(serverKey, { id, entries }) {
      const place = snapshotFile(serverKey);
      if (place === undefined) return;
      writeAtomically(place, JSON.stringify({ version: VERSION, serverKey, id, entries: entries.map(toRow) }));
    },
  };
}

/** A cache that can't be written costs time, not correctness: no error. */
function writeAtomically(file: string, text: string): void {
  const draft = `${file}.${randomUUID()}`;
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(draft, text, { mode: 0o600, flag: "wx" });
    renameSync(draft, file);
  } catch {
    discard(draft);
  }
}

function discard(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // It could not even be made.
  }
}

function readJson(file: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(file, "utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function isRow(row: unknown): row is Row {
  if (!Array.isArray(row)) return false;
  const [name, size, mtimeMs, ctimeMs, ino, sha256, names]: unknown[] = row;
  return (
    typeof name === "string" &&
    typeof size === "number" &&
    typeof mtimeMs === "number" &&
    typeof ctimeMs === "number" &&
    typeof ino === "number" &&
    typeof sha256 === "string" &&
    sha256.length === 64 &&
    (names === undefined || (Array.isArray(names) && names.every((item) => typeof item === "string")))
  );
}

function load(
  file: string,
  root: string,
  scanVersion: string,
): { rows: Map<string, Row>; writtenMs: number } | undefined {
  const value = readJson(file);
  if (value?.["version"] !== VERSION || value["root"] !== root || value["scanVersion"] !== scanVersion)
    return undefined;
  const { files, writtenMs } = value as { files?: unknown; writtenMs?: unknown };
  if (typeof writtenMs !== "number" || !Array.isArray(files) || !files.every(isRow)) return undefined;
  return { rows: new Map(files.map((row) => [row[0], row])), writtenMs };
}

function loadSnapshot(file: string, serverKey: string): KnownSnapshot | undefined {
  const value = readJson(file);
  if (value?.["version"] !== VERSION || value["serverKey"] !== serverKey) return undefined;
  const { id, entries } = value as { id?: unknown; entries?: unknown };
  if (typeof id !== "string" || !Array.isArray(entries)) return undefined;
  return { id, entries: (entries as SnapshotRow[]).map(fromRow) };
}
