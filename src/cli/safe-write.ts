/** Writes files below a folder so that no link in it can lead elsewhere, and so that readers see all of a file or none. */
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  createReadStream,
  createWriteStream,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { rename, rm } from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AppError } from "../core/errors.ts";

/** Folders that were seen to be ones, so that a run's thousand files do not ask for the same ones a thousand times. */
export type KnownFolders = Set<string>;

/** Makes the folders from `root` (whose own links are followed) down to `folder`. Throws where a link stands in between. */
export function makeFolders(root: string, folder: string, known: KnownFolders): void {
  if (known.has(folder)) return;
  mkdirSync(root, { recursive: true });
  const relative = path.relative(root, folder);
  let at = root;
  for (const part of relative === "" ? [] : relative.split(path.sep)) {
    if (part === "..") throw new AppError("path_outside", `${folder} lies outside of ${root}.`);
    at = path.join(at, part);
    const stats = lstatSync(at, { throwIfNoEntry: false });
    if (stats === undefined) mkdirSync(at, { recursive: true });
    else if (!stats.isDirectory()) {
      throw new AppError(
        "path_outside",
        `${at} is ${stats.isSymbolicLink() ? "a link" : "no folder"}; nothing is written through it.`,
      );
    }
  }
  known.add(folder);
}

/** A name beside the file that nobody else uses. */
export function draftName(file: string): string {
  return path.join(path.dirname(file), `.${path.basename(file).slice(0, 100)}.${randomBytes(6).toString("hex")}`);
}

/** A content that is here already, or comes as a stream. */
export type Content = Buffer | Readable;

/** Replaces a file as a whole; a link in its place is replaced, not followed. */
export async function writeWhole(file: string, content: Content, mode: number): Promise<void> {
  const draft = draftName(file);
  try {
    if (Buffer.isBuffer(content)) {
      // Handing small files to other threads and back takes longer than writing them.
      writeFileSync(draft, content, { flag: "wx", mode });
      renameSync(draft, file);
    } else {
      await pipeline(content, createWriteStream(draft, { flags: "wx", mode }));
      await rename(draft, file);
    }
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/** Appends a whole content or none: it is received first. */
export async function appendWhole(file: string, content: Content): Promise<void> {
  if (Buffer.isBuffer(content)) return appendFileSync(file, content, { mode: 0o644 });
  const draft = draftName(file);
  try {
    await pipeline(content, createWriteStream(draft, { flags: "wx", mode: 0o644 }));
    await pipeline(createReadStream(draft), createWriteStream(file, { flags: "a", mode: 0o644 }));
  } finally {
    await rm(draft, { force: true });
  }
}
