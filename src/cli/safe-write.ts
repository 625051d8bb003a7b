/** Writes files below a folder so that no link in it can lead elsewhere, and so that readers see all of a file or none. */
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { lstat, mkdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AppError } from "../core/errors.ts";

/** Makes the folders from `root` (whose own links are followed) down to `folder`. Throws where a link stands in between. */
export async function makeFolders(root: string, folder: string): Promise<void> {
  await mkdir(root, { recursive: true });
  const relative = path.relative(root, folder);
  let at = root;
  for (const part of relative === "" ? [] : relative.split(path.sep)) {
    if (part === "..") throw new AppError("path_outside", `${folder} lies outside of ${root}.`);
    at = path.join(at, part);
    const stats = await lstat(at).catch(() => undefined);
    if (stats === undefined) await mkdir(at).catch(ignoreExisting);
    else if (!stats.isDirectory()) {
      throw new AppError(
        "path_outside",
        `${at} is ${stats.isSymbolicLink() ? "a link" : "no folder"}; nothing is written through it.`,
      );
    }
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

/** A name beside the file that nobody else uses. */
export function draftName(file: string): string {
  return path.join(path.dirname(file), `.${path.basename(file).slice(0, 100)}.${randomBytes(6).toString("hex")}`);
}

/** Replaces a file as a whole; a link in its place is replaced, not followed. */
export async function writeWhole(root: string, file: string, content: Readable, mode: number): Promise<void> {
  await makeFolders(root, path.dirname(file));
  const draft = draftName(file);
  try {
    await pipeline(content, createWriteStream(draft, { flags: "wx", mode }));
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** Appends a whole content or none: it is received first. */
export async function appendWhole(root: string, file: string, content: Readable): Promise<void> {
  await makeFolders(root, path.dirname(file));
  const draft = draftName(file);
  try {
    await pipeline(content, createWriteStream(draft, { flags: "wx", mode: 0o644 }));
    await pipeline(createReadStream(draft), createWriteStream(file, { flags: "a", mode: 0o644 }));
  } finally {
    await rm(draft, { force: true });
  }
}
