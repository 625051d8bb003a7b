/**
 * Packs: `.tar.gz` files that any tar reads. One with an index is made of many gzip members, each file's content
 * being one of its own, so that a single file can be read from the range of bytes that the index gives. One for
 * uploads is a single gzip stream, which is smaller and faster, since it is only ever read from end to end.
 */
import { createHash } from "node:crypto";
import { pipeline, Readable, type Writable } from "node:stream";
import { pipeline as pipelineDone } from "node:stream/promises";
import { createGzip, gzipSync } from "node:zlib";
import { AppError } from "../core/errors.ts";
import type { SnapshotEntry, SnapshotMode } from "./entry.ts";
import { checkLinkTarget, pathProblem } from "./entry-rules.ts";
import { SMALL_FILE_BYTES, sha256Of } from "./hash.ts";
import { TAR_END, tarHeader, tarPadding } from "./tar-header.ts";

/** A file to be packed. `content` must have exactly `size` bytes; for a link it is the text. */
export interface PackInput {
  readonly path: string;
  readonly mode: SnapshotMode;
  readonly size: number;
  readonly mtimeMs?: number;
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
}

/** Where a file's content stands in a pack: a gzip member at `offset`, `length` bytes long. A link has none (0, 0). */
export interface PackIndexEntry {
  readonly path: string;
  readonly mode: SnapshotMode;
  readonly size: number;
  readonly sha256: string;
  readonly offset: number;
  readonly length: number;
}
export type PackIndex = readonly PackIndexEntry[];

type Inputs = AsyncIterable<PackInput> | Iterable<PackInput>;

export interface PackOptions {
  /** zlib's level, 1 (fast) to 9 (small). Default: 6. */
  readonly level?: number;
}

/** Writes a pack with an index and ends the sink. Resolves to the index once the sink has taken everything. */
export async function writePack(inputs: Inputs, sink: Writable, options: PackOptions = {}): Promise<PackIndex> {
  const { stream, index } = packStream(inputs, options);
  await pipelineDone(stream, sink);
  return index;
}

/** The same as a stream to be read; `index` is complete when the stream has ended. */
export function packStream(inputs: Inputs, options: PackOptions = {}): { stream: Readable; index: PackIndex } {
  const index: PackIndexEntry[] = [];
  return { stream: Readable.from(packMembers(inputs, index, options.level ?? 6), { objectMode: false }), index };
}

async function* packMembers(inputs: Inputs, index: PackIndexEntry[], level: number): AsyncGenerator<Buffer> {
  const checkPath = pathChecker();
  let offset = 0;
  let padding: Buffer = Buffer.alloc(0);
  for await (const input of inputs) {
    const { path, mode, size } = checkPath(input);
    const link = await linkOf(input);
    const head = gzipMember(
      Buffer.concat([padding, tarHeader({ path, mode, size, mtimeMs: input.mtimeMs ?? 0, link })]),
      1,
    );
    offset += head.length;
    yield head;
    if (link !== undefined) {
      padding = Buffer.alloc(0);
      index.push({ path, mode, size, sha256: sha256Of(link), offset: 0, length: 0 });
      continue;
    }
    const start = offset;
    const hash = createHash("sha256");
    for await (const chunk of compress(hashed(input, hash), input, level)) {
      offset += chunk.length;
      yield chunk;
    }
    index.push({ path, mode, size, sha256: hash.digest("hex"), offset: start, length: offset - start });
    padding = tarPadding(size);
  }
  yield gzipMember(Buffer.concat([padding, TAR_END]), 1);
}

/** A small member needs no big window, and making one takes longer than the compression. */
function gzipMember(content: Uint8Array, level: number): Buffer {
  const small = content.length <= 4096 ? { windowBits: 12, memLevel: 5, chunkSize: 2048 } : {};
  return gzipSync(content, { level, ...small });
}

async function* compress(
  chunks: AsyncIterable<Uint8Array>,
  { content, size }: PackInput,
  level: number,
): AsyncGenerator<Buffer> {
  if (size <= SMALL_FILE_BYTES && content instanceof Uint8Array) {
    for await (const _ of chunks);
    yield gzipMember(content, level);
    return;
  }
  // An error of the source destroys the gzip stream with it, and so reaches whoever reads.
  yield* pipeline(Readable.from(chunks), createGzip({ level }), () => {}) as AsyncIterable<Buffer>;
}

/** The content in pieces, hashed and counted. */
async function* hashed(input: PackInput, hash?: { update(chunk: Uint8Array): unknown }): AsyncGenerator<Uint8Array> {
  let size = 0;
  const content = input.content instanceof Uint8Array ? [input.content] : input.content;
  for await (const chunk of content) {
    size += chunk.length;
    if (size > input.size) break;
    hash?.update(chunk);
    yield chunk;
  }
  if (size !== input.size)
    throw new AppError("project_changed", `${input.path} changed while it was being packed.`, {
      hint: "Run the same command again.",
    });
}

async function linkOf({ path, mode, content }: PackInput): Promise<string | undefined> {
  if (mode !== "120000") return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of content instanceof Uint8Array ? [content] : content) chunks.push(chunk);
  const link = Buffer.concat(chunks).toString("utf8");
  checkLinkTarget(path, link);
  return link;
}

function pathChecker(): (input: PackInput) => PackInput {
  const seen = new Set<string>();
  return (input) => {
    const problem = seen.has(input.path) ? "is there twice" : pathProblem(input.path);
    if (problem !== undefined)
      throw new AppError("path_outside", `The path ${JSON.stringify(input.path)} can't be packed: it ${problem}.`);
    seen.add(input.path);
    return input;
  };
}

/** A pack for upload: contents named by their SHA-256. `open` gives an entry's content. */
export function contentPack(
  entries: readonly SnapshotEntry[],
  open: (entry: SnapshotEntry) => Uint8Array | AsyncIterable<Uint8Array>,
  options: PackOptions = {},
): Readable {
  async function* tarBytes(): AsyncGenerator<Uint8Array> {
    for (const entry of entries) {
      const input: PackInput = { path: entry.sha256, mode: "100644", size: entry.size, content: open(entry) };
      yield tarHeader({ ...input, mtimeMs: 0 });
      yield* hashed(input);
      yield tarPadding(entry.size);
    }
    yield TAR_END;
  }
  return pipeline(Readable.from(inBatches(tarBytes())), createGzip({ level: options.level ?? 6 }), () => {});
}

/** Joins small pieces: each one given to zlib is a trip to another thread. */
async function* inBatches(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let batch: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    batch.push(chunk);
    size += chunk.length;
    if (size < BATCH_BYTES) continue;
    yield Buffer.concat(batch);
    batch = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(batch);
}

const BATCH_BYTES = 128 * 1024;

/** Files up to this size travel in packs, bigger ones in parts of their own. */
const PACKED_FILE_BYTES = 8 * 1024 * 1024;
/** What a pack holds at most before compression, so that it stays below 16 MB also where nothing can be compressed. */
const PACK_BYTES = 15 * 1024 * 1024;
const HEADER_BYTES = 1024;

export interface PackPlan {
  /** Contents that travel together. */
  readonly packs: readonly (readonly SnapshotEntry[])[];
  /** Contents that travel alone. */
  readonly large: readonly SnapshotEntry[];
}

/** Groups contents for upload, each content once. */
export function planPacks(entries: readonly SnapshotEntry[]): PackPlan {
  const unique = [...new Map(entries.map((entry) => [entry.sha256, entry])).values()];
  const large = unique.filter((entry) => entry.size > PACKED_FILE_BYTES);
  const packs: SnapshotEntry[][] = [];
  let free = 0;
  for (const entry of unique) {
    if (entry.size > PACKED_FILE_BYTES) continue;
    const cost = entry.size + HEADER_BYTES;
    let pack = packs.at(-1);
    if (pack === undefined || cost > free) {
      pack = [];
      packs.push(pack);
      free = PACK_BYTES;
    }
    pack.push(entry);
    free -= cost;
  }
  return { packs, large };
}
