/** Files that appear whole or not at all, also after a crash. */
import { randomUUID } from "node:crypto";
import {
  closeSync,
  createWriteStream,
  existsSync,
  fdatasync,
  fsyncSync,
  futimesSync,
  mkdirSync,
  openSync,
  writeSync,
} from "node:fs";
import { link, rename, rm, unlink, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { hasCode } from "./errors.ts";

export type Content = Uint8Array | Readable;

/** Sees every chunk on its way to the disk. */
export type Tap = (chunk: Uint8Array) => void;

/** Makes files durable under a temporary name in `folder`, which must be on the same disk as where they go. */
export interface Stager {
  /** The path of the staged file: complete and synced. The caller places or removes it. */
  stage(content: Content, tap?: Tap): Promise<string>;
}

export function createStager(folder: string, now: () => number): Stager {
  return {
    async stage(content, tap) {
      makeFolder(folder);
      const path = join(folder, `${process.pid}-${randomUUID()}`);
      try {
        if (content instanceof Uint8Array) {
          tap?.(content);
          await writeSynced(path, content, now() / 1000);
        } else {
          await pipeline(content, tapped(tap), createWriteStream(path, { flags: "wx", mode: 0o600, flush: true }));
          await utimes(path, now() / 1000, now() / 1000);
        }
        return path;
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      }
    },
  };
}

const syncData = promisify(fdatasync);

/** Synchronous but for the slow part: with thousands of small files the way through the thread pool would cost most. */
async function writeSynced(path: string, content: Uint8Array, seconds: number): Promise<void> {
  const file = openSync(path, "wx", 0o600);
  try {
    for (let done = 0; done < content.byteLength; ) done += writeSync(file, content, done);
    futimesSync(file, seconds, seconds);
    await syncData(file);
  } finally {
    closeSync(file);
  }
}

function tapped(tap: Tap | undefined) {
  return async function* (source: AsyncIterable<Uint8Array>) {
    for await (const chunk of source) {
      tap?.(chunk);
      yield chunk;
    }
  };
}

/** Gives a staged file its name unless something has it already; tells whether it did. */
export async function placeOnce(staged: string, path: string): Promise<boolean> {
  try {
    makeFolder(dirname(path));
    await link(staged, path);
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    await unlink(staged);
  }
  syncFolder(dirname(path));
  return true;
}

/** Gives a staged file its name, in place of what had it. */
export async function placeOver(staged: string, path: string): Promise<void> {
  makeFolder(dirname(path));
  await rename(staged, path);
  syncFolder(dirname(path));
}

/** Makes a folder and its parents. By hand, for `mkdir` of Node never returns from a place like /proc. */
export function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  if (dirname(folder) !== folder) makeFolder(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
}

/** Makes new names in a folder survive a power cut. */
export function syncFolder(folder: string): void {
  const file = openSync(folder, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
