/** Takes a snapshot of a project: walks it, hashes what changed, and opens the files for sending. */
import { createHash } from "node:crypto";
import { createReadStream, readFileSync, type Stats } from "node:fs";
import { Readable } from "node:stream";
import { AppError } from "../core/errors.ts";
import { type SnapshotEntry, snapshotId } from "./entry.ts";
import { hashFile, SMALL_FILE_BYTES, sha256Of } from "./hash.ts";
import { type DescribeOptions, describeProject, type ProjectLayout } from "./project.ts";
import { type CachedFile, openStatCache, type StatCache } from "./stat-cache.ts";
import { type FoundFile, type WalkOptions, walkProject } from "./walk.ts";

/** Text files in which dbt renders `env_var()`. */
const SCANNED = /\.(sql|ya?ml|py)$/i;

export interface TakeOptions extends DescribeOptions, WalkOptions {
  readonly projectDir: string;
  /** Folder of the stat caches; undefined: everything is hashed. */
  readonly cacheDir: string | undefined;
  /** Names of environment variables that a text uses. Default: none are looked for. */
  readonly scan?: (text: string) => readonly string[];
  readonly scanVersion?: string;
  /** A layout already described; else the project is described here. */
  readonly layout?: ProjectLayout;
}

export interface TakeStats {
  readonly files: number;
  readonly bytes: number;
  /** How much of it was read, because the cache did not know it. */
  readonly hashedFiles: number;
  readonly hashedBytes: number;
}

export interface Snapshot {
  readonly id: string;
  /** Absolute path of the snapshot's root on this machine. */
  readonly root: string;
  /** The project's folder in it: `.` or a `/`-separated path. */
  readonly projectDir: string;
  readonly layout: ProjectLayout;
  /** Sorted by the bytes of their paths. */
  readonly entries: readonly SnapshotEntry[];
  /** Names of the environment variables that the files use, sorted. */
  readonly envNames: readonly string[];
  /** What a user should know, a sentence each. */
  readonly warnings: readonly string[];
  readonly stats: TakeStats;
  /**
   * The content of an entry: at once where it is small, as a stream where it is big. Throws, or ends the stream with,
   * `project_changed` where it is no longer what was hashed. `offset` skips the first bytes of it.
   */
  open(entry: SnapshotEntry, offset?: number): Buffer | Readable;
  /** The cache, for what each server is known to hold. */
  readonly cache: Pick<StatCache, "lastSnapshot" | "rememberSnapshot">;
}

/** Takes a snapshot. Unchanged files are not read; big ones are read in pieces. */
export async function takeSnapshot(options: TakeOptions): Promise<Snapshot> {
  const layout = options.layout ?? describeProject(options.projectDir, options);
  const cache = openStatCache({
    dir: options.cacheDir,
    root: layout.root,
    scanVersion: options.scan === undefined ? "none" : (options.scanVersion ?? "1"),
  });
  const files = walkProject(layout, options);
  const byPath = new Map(files.map((file) => [file.path, file]));
  const envNames = new Set<string>();
  const entries: SnapshotEntry[] = [];
  const stats = { files: files.length, bytes: 0, hashedFiles: 0, hashedBytes: 0 };

  for (const file of files) {
    const { path, mode } = file;
    if (file.link !== undefined) {
      entries.push({ path, mode, sha256: sha256Of(file.link), size: file.size });
      continue;
    }
    let cached: CachedFile | undefined = cache.lookup(file);
    let size = file.size;
    if (cached === undefined) {
      const read = await readFound(file);
      const text = read.content !== undefined && SCANNED.test(path) ? read.content.toString("utf8") : undefined;
      cached = { sha256: read.sha256, envNames: text === undefined ? [] : (options.scan?.(text) ?? []) };
      size = read.size;
      if (read.stats !== undefined) cache.record({ ...numbersOf(read.stats), path }, cached);
      stats.hashedFiles++;
      stats.hashedBytes += size;
    }
    for (const name of cached.envNames) envNames.add(name);
    stats.bytes += size;
    entries.push({ path, mode, sha256: cached.sha256, size });
  }
  cache.save(new Set(files.filter((file) => file.link === undefined).map((file) => file.path)));

  return {
    id: snapshotId(entries),
    root: layout.root,
    projectDir: layout.projectDir,
    layout,
    entries,
    envNames: [...envNames].sort(),
    warnings: layout.warnings,
    stats,
    open: (entry, offset = 0) => openEntry(byPath.get(entry.path), entry, offset),
    cache,
  };
}

function numbersOf({ size, mtimeMs, ctimeMs, ino }: Stats) {
  return { size, mtimeMs, ctimeMs, ino };
}

async function readFound(file: FoundFile) {
  try {
    return await hashFile(file.absolute, file.size);
  } catch (cause) {
    if (isAbsent(cause)) throw changed(file.path, cause);
    throw new AppError("bad_project", `The file ${file.absolute} can't be read.`, { cause });
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function changed(path: string, cause?: unknown): AppError {
  return new AppError("project_changed", `${path} changed while it was being sent.`, {
    hint: "Run the same command again.",
    ...(cause === undefined ? {} : { cause }),
  });
}

function openEntry(file: FoundFile | undefined, entry: SnapshotEntry, offset: number): Buffer | Readable {
  if (file === undefined) throw new AppError("internal", `${entry.path} is not part of the snapshot.`);
  if (file.link !== undefined) return Buffer.from(file.link).subarray(offset);
  if (entry.size > SMALL_FILE_BYTES) return Readable.from(readVerified(file, entry, offset), { objectMode: false });
  let content: Buffer;
  try {
    content = readFileSync(file.absolute);
  } catch (cause) {
    throw changed(entry.path, cause);
  }
  if (content.length !== entry.size || sha256Of(content) !== entry.sha256) throw changed(entry.path);
  return content.subarray(offset);
}

/** The file from `offset` on. It is hashed from its start, so that a resumed upload is verified as a whole too. */
async function* readVerified(file: FoundFile, entry: SnapshotEntry, offset: number): AsyncGenerator<Buffer> {
  const hash = createHash("sha256");
  let position = 0;
  try {
    for await (const chunk of createReadStream(file.absolute, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      const skip = Math.min(chunk.length, Math.max(0, offset - position));
      position += chunk.length;
      if (position > entry.size) break;
      if (skip < chunk.length) yield chunk.subarray(skip);
    }
  } catch (cause) {
    throw changed(entry.path, cause);
  }
  if (position !== entry.size || hash.digest("hex") !== entry.sha256) throw changed(entry.path);
}
