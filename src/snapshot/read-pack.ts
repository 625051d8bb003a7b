/** Reads packs that come from outside: one file after the other, with limits, and without archive tricks. */
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { createGunzip, type Gunzip, gunzipSync } from "node:zlib";
import { type Extract, extract, type Header } from "tar-stream";
import { AppError } from "../core/errors.ts";
import type { SnapshotMode } from "./entry.ts";
import { checkLinkTarget, pathProblem } from "./entry-rules.ts";

export interface PackLimits {
  readonly maxEntries: number;
  /** Of all contents together, unpacked. */
  readonly maxBytes: number;
  /** Of one content, unpacked. */
  readonly maxEntryBytes: number;
}

/** A file of a pack. Its content can be read until the next file is asked for. */
export interface PackItem {
  readonly path: string;
  readonly mode: SnapshotMode;
  readonly size: number;
  readonly mtimeMs: number;
  /** Text of a symbolic link, which stays inside the pack. */
  readonly link: string | undefined;
  readonly content: Readable;
  /** The whole content. */
  bytes(): Promise<Buffer>;
}

interface PumpState {
  isComplete: boolean;
  sourceError: unknown;
}

/** Room for the headers and padding of one entry. */
const ENTRY_OVERHEAD_BYTES = 8192;

/**
 * The files of a `.tar.gz`, in order; folders are passed over. Throws `AppError`: `path_outside` and `bad_request` for
 * what is no honest pack, `too_large` beyond the limits. An error of the source itself is thrown as it is.
 */
export async function* readPack(source: Readable, limits: PackLimits): AsyncGenerator<PackItem> {
  const tar = extract();
  const state: PumpState = { isComplete: false, sourceError: undefined };
  const pumped = pump(source, tar, limits, state);
  const tree = treeChecker();
  let entries = 0;
  let bytes = 0;
  try {
    for await (const entry of tar) {
      const { header } = entry;
      const { size } = header;
      entries++;
      bytes += size;
      if (entries > limits.maxEntries) throw tooLarge(`more than ${limits.maxEntries} files`);
      if (size > limits.maxEntryBytes) throw tooLarge(`a file of ${size} bytes; ${limits.maxEntryBytes} is the most`);
      if (bytes > limits.maxBytes) throw tooLarge(`more than ${limits.maxBytes} bytes`);
      const item = parseHeader(header, size);
      if (item === undefined) {
        entry.resume();
        continue;
      }
      tree(item.path);
      const reading: { content?: Readable; isRead?: boolean } = {};
      yield {
        ...item,
        get content() {
          reading.content ??= Readable.from(readContent(entry, state), { objectMode: false });
          return reading.content;
        },
        async bytes() {
          const chunks: Buffer[] = [];
          for await (const chunk of reading.content ?? readContent(entry, state)) chunks.push(chunk as Buffer);
          reading.isRead = true;
          return Buffer.concat(chunks);
        },
      };
      const { content, isRead } = reading;
      if (content === undefined) entry.resume();
      else if (!isRead && !content.readableEnded) await finished(content.resume());
    }
    if (!state.isComplete) throw new Error("it was not read to its end");
  } catch (cause) {
    throw asPackError(cause, state);
  } finally {
    tar.destroy(null);
    await pumped;
  }
}

async function* readContent(entry: AsyncIterable<unknown>, state: PumpState): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of entry) yield chunk as Buffer;
  } catch (cause) {
    throw asPackError(cause, state);
  }
}

/** Unpacks into the reader, counting; never rejects: an error destroys the reader with it. */
async function pump(source: Readable, tar: Extract, limits: PackLimits, state: PumpState): Promise<void> {
  const gunzip = createGunzip();
  // Who reads from it hears of it.
  gunzip.on("error", () => undefined);
  let isClosed = false;
  const closed = new Promise<void>((resolve) => {
    tar.once("close", () => {
      isClosed = true;
      resolve();
    });
  });
  // What the source itself reports is not the pack's fault.
  source.on("error", (cause) => {
    state.sourceError = cause;
  });
  const maxBytes = limits.maxBytes + limits.maxEntries * ENTRY_OVERHEAD_BYTES + 1024 * 1024;
  let bytes = 0;
  try {
    for await (const chunk of inflated(source, gunzip)) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw tooLarge(`more than ${limits.maxBytes} bytes`);
      if (isClosed) break;
      if (!tar.write(chunk))
        await Promise.race([new Promise<void>((resolve) => tar.once("drain", () => resolve())), closed]);
      if (isClosed) break;
    }
    if (isClosed) return;
    state.isComplete = true;
    tar.end(null);
  } catch (cause) {
    tar.destroy(cause instanceof Error ? cause : new Error(String(cause)));
  } finally {
    gunzip.destroy();
    // Whatever follows a pack, or is left of a refused one, is read away so that its sender can be answered.
    source.resume();
  }
}

/** Packs up to this size are unpacked at once. */
const SMALL_PACK_BYTES = 1024 * 1024;
const SMALL_UNPACKED_BYTES = 16 * 1024 * 1024;

/** A pack of many small files is many small members, each of which would be a trip to another thread and back. */
async function* inflated(source: Readable, gunzip: Gunzip): AsyncGenerator<Buffer> {
  const chunks = (source as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  let size = 0;
  let next = await chunks.next();
  for (; !next.done && size + next.value.length <= SMALL_PACK_BYTES; next = await chunks.next()) {
    head.push(next.value);
    size += next.value.length;
  }
  const whole = next.done && size > 0 ? gunzipSmall(Buffer.concat(head)) : undefined;
  if (whole !== undefined) {
    yield whole;
    return;
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    yield* head;
    for (; !next.done; next = await chunks.next()) yield next.value;
  }
  const packed = Readable.from(all(), { objectMode: false });
  packed.on("error", (cause) => gunzip.destroy(cause));
  packed.pipe(gunzip);
  yield* gunzip as AsyncIterable<Buffer>;
}

/** Undefined where it unfolds to more than should be in memory. */
function gunzipSmall(packed: Buffer): Buffer | undefined {
  try {
    return gunzipSync(packed, { maxOutputLength: SMALL_UNPACKED_BYTES });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function asPackError(cause: unknown, state: PumpState): unknown {
  if (cause instanceof AppError) return cause;
  if (state.sourceError !== undefined) return state.sourceError;
  return new AppError(
    "bad_request",
    `The pack is not a complete tar.gz: ${cause instanceof Error ? cause.message : cause}.`,
    {
      cause,
    },
  );
}

function tooLarge(what: string): AppError {
  return new AppError("too_large", `The pack holds ${what}.`);
}

type ParsedHeader = Omit<PackItem, "content" | "bytes">;

function parseHeader(header: Header, size: number): ParsedHeader | undefined {
  const shown = JSON.stringify(header.name);
  const isFolder = header.type === "directory";
  const path = header.name.replace(/^\.\//, "").replace(isFolder ? /\/+$/ : /$^/, "");
  if (isFolder && (path === "" || path === ".")) return undefined;
  const problem = pathProblem(path);
  if (problem !== undefined) throw new AppError("path_outside", `The pack's path ${shown} ${problem}.`);
  if (isFolder) return undefined;
  const pax = typeof header.pax === "object" && header.pax !== null ? header.pax : {};
  if (Object.keys(pax).some((key) => key.startsWith("GNU.sparse")))
    throw new AppError("bad_request", `The pack's ${shown} is a sparse file.`);
  const mtimeMs = header.mtime.getTime();
  if (header.type === "file")
    return { path, mode: (header.mode & 0o100) !== 0 ? "100755" : "100644", size, mtimeMs, link: undefined };
  if (header.type !== "symlink")
    throw new AppError(
      "bad_request",
      `The pack's ${shown} is a ${header.type ?? "thing of an unknown kind"}, not a file.`,
    );
  const link: string | null = header.linkname;
  checkLinkTarget(path, link ?? "");
  return { path, mode: "120000", size: Buffer.byteLength(link), mtimeMs, link };
}

/** Refuses a path that is there twice, or both as a file and as a folder. */
function treeChecker(): (path: string) => void {
  const files = new Set<string>();
  const folders = new Set<string>();
  return (path) => {
    const parents: string[] = [];
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1))
      parents.push(path.slice(0, end));
    if (files.has(path) || folders.has(path) || parents.some((parent) => files.has(parent)))
      throw new AppError("bad_request", `The pack holds ${JSON.stringify(path)} twice, or as a file and a folder.`);
    files.add(path);
    for (const parent of parents) folders.add(parent);
  };
}
