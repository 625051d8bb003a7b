/** The one writer of a log stream. */
import { createHash, type Hash } from "node:crypto";
import { closeSync, existsSync, fdatasync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { promisify } from "node:util";
import { AppError } from "../../core/errors.ts";
import { mergeSegments } from "../merge-segments.ts";
import type { LogSeal, LogSegment, LogWriter } from "../port.ts";
import { atEdge } from "./errors.ts";
import { decodeIndexRecord, encodeIndexRecord, INDEX_RECORD_BYTES, type LogPaths } from "./log-files.ts";
import { makeFolder, placeOver, type Stager, syncFolder } from "./stager.ts";

const syncData = promisify(fdatasync);
const CHUNK_BYTES = 1024 * 1024;

interface Files {
  readonly data: number;
  readonly index: number;
}

function sealed(paths: LogPaths): AppError {
  return new AppError("run_finished", `The log in ${paths.folder} has ended; nothing can be added to it.`);
}

/** Opens at the end of what readers can see, and cuts off what lies behind it. */
export function openLogWriter(paths: LogPaths, stager: Stager): LogWriter {
  if (existsSync(paths.seal)) throw sealed(paths);
  makeFolder(paths.folder);
  // Made if absent, never emptied; written at positions, so not opened to append.
  for (const path of [paths.data, paths.index]) closeSync(openSync(path, "a", 0o600));
  const files: Files = { data: openSync(paths.data, "r+"), index: openSync(paths.index, "r+") };
  syncFolder(paths.folder);
  let end = recover(files, paths);
  const hash = createHash("sha256");
  hashRange(files.data, hash, 0, end.offset);
  const flusher = createFlusher(files);
  let closed = false;

  async function close(): Promise<void> {
    if (closed) return;
    closed = true;
    try {
      await flusher.flush();
    } finally {
      closeSync(files.data);
      closeSync(files.index);
    }
  }

  function append(segments: readonly LogSegment[]): void {
    if (closed || existsSync(paths.seal)) throw sealed(paths);
    flusher.check();
    const batch = encode(segments, end.offset);
    if (batch.length === 0) return;
    try {
      writeAll(files.data, batch.chunks, end.offset);
      writeAll(files.index, [batch.records], end.records * INDEX_RECORD_BYTES);
    } catch (error) {
      // Part of it may be in the index, and then it has been seen: that stays, and counts.
      const from = end.offset;
      end = recover(files, paths);
      hashRange(files.data, hash, from, end.offset);
      throw error;
    }
    for (const chunk of batch.chunks) hash.update(chunk);
    end = { offset: end.offset + batch.length, records: end.records + batch.records.length / INDEX_RECORD_BYTES };
    flusher.start();
  }

  return {
    get offset() {
      return end.offset;
    },
    due: async () => undefined,
    append: (segments) => atEdge("writing a log", paths.folder, () => append(segments)),
    seal: () =>
      atEdge("ending a log", paths.folder, async () => {
        if (closed || existsSync(paths.seal)) throw sealed(paths);
        await flusher.flush();
        const seal: LogSeal = { finalOffset: end.offset, sha256: hash.copy().digest("hex") };
        await placeOver(await stager.stage(Buffer.from(JSON.stringify(seal))), paths.seal);
        await close();
        return seal;
      }),
    close: () => atEdge("closing a log", paths.folder, close),
  };
}

interface End {
  readonly offset: number;
  readonly records: number;
}

/** Finds the last whole index record and cuts both files there. */
function recover(files: Files, paths: LogPaths): End {
  const { size } = fstatSync(files.index);
  const dataSize = fstatSync(files.data).size;
  const bytes = Buffer.alloc(INDEX_RECORD_BYTES);
  let records = Math.floor(size / INDEX_RECORD_BYTES);
  let offset = 0;
  // More than one step back only after a power cut, which may have undone writes that were not synced yet.
  for (; records > 0; records -= 1) {
    readSync(files.index, bytes, 0, INDEX_RECORD_BYTES, (records - 1) * INDEX_RECORD_BYTES);
    const record = decodeIndexRecord(bytes, 0);
    if (record === undefined || record.offset + record.length > dataSize) continue;
    offset = record.offset + record.length;
    break;
  }
  if (size > records * INDEX_RECORD_BYTES) ftruncateSync(files.index, records * INDEX_RECORD_BYTES);
  if (dataSize > offset) ftruncateSync(files.data, offset);
  if (dataSize < offset) throw new AppError("state_corrupt", `${paths.data} is shorter than its index says.`);
  return { offset, records };
}

interface Batch {
  readonly chunks: readonly Uint8Array[];
  readonly records: Buffer;
  readonly length: number;
}

function encode(segments: readonly LogSegment[], offset: number): Batch {
  const { merged, chunks } = mergeSegments(segments);
  const records = Buffer.alloc(merged.length * INDEX_RECORD_BYTES);
  let length = 0;
  for (const [number, record] of merged.entries()) {
    encodeIndexRecord({ ...record, offset: offset + length }, records, number * INDEX_RECORD_BYTES);
    length += record.length;
  }
  return { chunks, records, length };
}

function writeAll(file: number, chunks: readonly Uint8Array[], position: number): void {
  let at = position;
  for (const chunk of chunks) {
    for (let done = 0; done < chunk.byteLength; )
      done += writeSync(file, chunk, done, chunk.byteLength - done, at + done);
    at += chunk.byteLength;
  }
}

function hashRange(file: number, hash: Hash, from: number, to: number): void {
  const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, Math.max(to - from, 0)));
  for (let at = from; at < to; ) {
    const got = readSync(file, chunk, 0, Math.min(chunk.length, to - at), at);
    hash.update(chunk.subarray(0, got));
    at += got;
  }
}

/**
 * Brings what was written to the disk behind the writer's back, one sync at a time: what is shown is safe from a crash of
 * any program at once, and from a power cut some milliseconds later.
 */
function createFlusher(files: Files): { start(): void; flush(): Promise<void>; check(): void } {
  let running: Promise<void> | undefined;
  let wanted = false;
  let failure: unknown;

  async function run(): Promise<void> {
    try {
      while (wanted) {
        wanted = false;
        await syncData(files.data);
        await syncData(files.index);
      }
    } catch (error) {
      failure = error;
    } finally {
      running = undefined;
    }
  }

  function check(): void {
    if (failure === undefined) return;
    const error = failure;
    failure = undefined;
    throw error;
  }

  return {
    start() {
      wanted = true;
      running ??= run();
    },
    async flush() {
      wanted = true;
      running ??= run();
      await running;
      check();
    },
    check,
  };
}
