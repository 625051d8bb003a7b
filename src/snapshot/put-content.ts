/** Writes a content to a new file, never through a link and never unverified. */
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  createReadStream,
  fchmodSync,
  futimesSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { AppError } from "../core/errors.ts";
import type { SnapshotEntry } from "./entry.ts";
import { checkLinkTarget } from "./entry-rules.ts";
import { SMALL_FILE_BYTES, sha256Of } from "./hash.ts";

/** Where a content is read from: a local file where there is one, else a stream. */
export interface ContentSource {
  readonly path?: string;
  read(): Promise<Readable>;
}

/** Fails where something stands there already, be it a dangling link. */
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

/**
 * Makes an entry's file or link, where nothing may stand yet, and gives a file this mtime. A content that is not what
 * the entry says throws `blob_corrupt` and leaves nothing behind.
 */
export async function putContent(
  absolute: string,
  entry: SnapshotEntry,
  source: ContentSource,
  mtimeMs: number,
): Promise<void> {
  if (entry.size > SMALL_FILE_BYTES) return await putBig(absolute, entry, source, mtimeMs);
  const content = source.path === undefined ? await readAll(entry, await source.read()) : readFileSync(source.path);
  if (content.length !== entry.size || sha256Of(content) !== entry.sha256) throw corrupt(entry);
  if (entry.mode === "120000") {
    const text = content.toString("utf8");
    checkLinkTarget(entry.path, text);
    symlinkSync(text, absolute);
  } else {
    putSmall(absolute, entry, content, mtimeMs);
  }
}

/** At once: thousands of small files are written several times faster than step by step. */
function putSmall(absolute: string, entry: SnapshotEntry, content: Uint8Array, mtimeMs: number): void {
  const fd = openSync(absolute, CREATE, 0o600);
  try {
    for (let written = 0; written < content.length; ) written += writeSync(fd, content, written);
    fchmodSync(fd, permissions(entry));
    futimesSync(fd, mtimeMs / 1000, mtimeMs / 1000);
  } finally {
    closeSync(fd);
  }
}

async function putBig(absolute: string, entry: SnapshotEntry, source: ContentSource, mtimeMs: number): Promise<void> {
  const handle = await open(absolute, CREATE, 0o600);
  let isWhole = false;
  try {
    const hash = createHash("sha256");
    let size = 0;
    const chunks = source.path === undefined ? await source.read() : createReadStream(source.path, CHUNKS);
    for await (const chunk of chunks as AsyncIterable<Uint8Array>) {
      hash.update(chunk);
      size += chunk.length;
      if (size > entry.size) break;
      await handle.writeFile(chunk);
    }
    if (size !== entry.size || hash.digest("hex") !== entry.sha256) throw corrupt(entry);
    await handle.chmod(permissions(entry));
    await handle.utimes(mtimeMs / 1000, mtimeMs / 1000);
    isWhole = true;
  } finally {
    await handle.close();
    if (!isWhole) rmSync(absolute, { force: true });
  }
}

const CHUNKS = { highWaterMark: 1024 * 1024 };

async function readAll(entry: SnapshotEntry, stream: Readable): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > entry.size) throw corrupt(entry);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const permissions = (entry: SnapshotEntry): number => (entry.mode === "100755" ? 0o755 : 0o644);

function corrupt({ path, sha256 }: SnapshotEntry): AppError {
  return new AppError("blob_corrupt", `The stored content of ${path} is not what its hash ${sha256} says.`, {
    hint: "Run the command again from the project, which sends the content anew.",
  });
}
