/** Files that may not be there: absence is an answer, every other failure is thrown. */
import type { Stats } from "node:fs";
import { open, readdir, stat, unlink, utimes } from "node:fs/promises";
import { Readable } from "node:stream";
import { hasCode } from "./errors.ts";

/** What is about a file, but undefined where there is none. */
export async function statFile(path: string): Promise<Stats | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? found : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Opens a file for reading; undefined where there is none. The stream closes it. */
export async function readFile(
  path: string,
  range?: { readonly offset: number; readonly length: number },
): Promise<Readable | undefined> {
  try {
    const file = await open(path, "r");
    if (range === undefined) return file.createReadStream();
    if (range.length <= 0) {
      await file.close();
      return Readable.from([]);
    }
    return file.createReadStream({ start: range.offset, end: range.offset + range.length - 1 });
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Sets a file's time of last use; false where there is none. */
export async function touchFile(path: string, nowMs: number): Promise<boolean> {
  try {
    await utimes(path, nowMs / 1000, nowMs / 1000);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** Removes a file unless it was used since then; tells whether it did. */
export async function removeFile(path: string, ifUnusedSinceMs?: number): Promise<boolean> {
  if (ifUnusedSinceMs !== undefined) {
    const found = await statFile(path);
    if (found === undefined || found.mtimeMs >= ifUnusedSinceMs) return false;
  }
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** Whether a file operation failed because there is no such file. */
export const isAbsent = (error: unknown): boolean => hasCode(error, "ENOENT") || hasCode(error, "ENOTDIR");

/** What is in a folder, sorted; hex names order alike as strings and as bytes. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}
