/** Hashing of files and streams, in pieces where they are big. */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** Up to this size a file is read at once, which is faster for the many small ones. */
export const SMALL_FILE_BYTES = 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;

/** SHA-256 in lower-case hex. */
export function sha256Of(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}

/** What was read of a file. `stats` are those of the open file, undefined where it changed in the meantime. */
export interface HashedFile {
  readonly sha256: string;
  readonly size: number;
  readonly stats: Stats | undefined;
  /** The content, where it is small. */
  readonly content: Buffer | undefined;
}

/** Hashes a file: a small one at once, a big one in pieces that let other work go on. */
export async function hashFile(absolute: string, expectedSize: number): Promise<HashedFile> {
  return expectedSize <= SMALL_FILE_BYTES ? hashSmall(absolute) : await hashBig(absolute);
}

function hashSmall(absolute: string): HashedFile {
  const fd = openSync(absolute, "r");
  try {
    const before = fstatSync(fd);
    const content = readFileSync(fd);
    const stats = unchanged(before, fstatSync(fd), content.length);
    return { sha256: sha256Of(content), size: content.length, stats, content };
  } finally {
    closeSync(fd);
  }
}

async function hashBig(absolute: string): Promise<HashedFile> {
  const handle = await open(absolute, "r");
  try {
    const before = await handle.stat();
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of readChunks(handle)) {
      hash.update(chunk);
      size += chunk.length;
    }
    const stats = unchanged(before, await handle.stat(), size);
    return { sha256: hash.digest("hex"), size, stats, content: undefined };
  } finally {
    await handle.close();
  }
}

function unchanged(before: Stats, after: Stats, size: number): Stats | undefined {
  const same = before.size === size && before.size === after.size;
  return same && before.mtimeMs === after.mtimeMs && before.ctimeMs === after.ctimeMs ? after : undefined;
}

/** The pieces of an open file. Each is valid only until the next is asked for: they share one buffer. */
async function* readChunks(handle: FileHandle): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  while (true) {
    const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}
