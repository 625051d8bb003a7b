/** Reads a page of a log from any offset, keeping nothing between two calls. */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import type { LogPage, LogSeal, PlacedLogSegment } from "../port.ts";
import { corrupt } from "./errors.ts";
import { isAbsent } from "./files.ts";
import { decodeIndexRecord, INDEX_RECORD_BYTES, type IndexRecord, type LogPaths } from "./log-files.ts";

/** Followers want the last records: one read brings them all. */
const BLOCK_RECORDS = 256;
/** Bounds a page whose segments are tiny. */
const MAX_PAGE_SEGMENTS = 4096;

/** The seal of a stream, null as long as it has none. */
export function readSeal(path: string): LogSeal | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
  const seal: unknown = JSON.parse(text);
  if (typeof seal !== "object" || seal === null || !("finalOffset" in seal) || !("sha256" in seal)) {
    throw corrupt(path, "it is no seal");
  }
  return { finalOffset: Number(seal.finalOffset), sha256: String(seal.sha256) };
}

/** Opens, reads and closes; a follower costs no file between two pages. */
export function readPage(paths: LogPaths, offset: number, maxBytes: number): LogPage {
  const index = openIfThere(paths.index);
  if (index === undefined) return { segments: [], nextOffset: offset, seal: readSeal(paths.seal) };
  let records: IndexRecord[];
  try {
    records = recordsFrom(index, paths.index, offset, maxBytes);
  } finally {
    closeSync(index);
  }
  const segments = records.length === 0 ? [] : readSegments(paths.data, records, offset, maxBytes);
  const last = segments.at(-1);
  const nextOffset = last === undefined ? offset : last.offset + last.bytes.byteLength;
  return { segments, nextOffset, seal: readSeal(paths.seal) };
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

function readSegments(
  path: string,
  records: readonly IndexRecord[],
  offset: number,
  maxBytes: number,
): PlacedLogSegment[] {
  const end = records.reduce((highest, record) => Math.max(highest, record.offset + record.length), offset);
  const bytes = Buffer.allocUnsafeSlow(Math.min(maxBytes, end - offset));
  const file = openSync(path, "r");
  try {
    let filled = 0;
    while (filled < bytes.length) {
      const got = readSync(file, bytes, filled, bytes.length - filled, offset + filled);
      if (got === 0) throw corrupt(path, `it ends at ${offset + filled}, before what its index covers`);
      filled += got;
    }
  } finally {
    closeSync(file);
  }
  const segments: PlacedLogSegment[] = [];
  for (const { channel, timeMs, ...record } of records) {
    const start = Math.max(record.offset, offset);
    const part = bytes.subarray(start - offset, record.offset + record.length - offset);
    if (part.length > 0) segments.push({ channel, timeMs, offset: start, bytes: part });
  }
  return segments;
}

/** The records that cover the page, found by bisection from the end. */
function recordsFrom(file: number, path: string, offset: number, maxBytes: number): IndexRecord[] {
  const count = Math.floor(fstatSync(file).size / INDEX_RECORD_BYTES);
  const records: IndexRecord[] = [];
  let at = firstRecordBehind(file, path, offset, count);
  let covered = 0;
  while (at < count && covered < maxBytes && records.length < MAX_PAGE_SEGMENTS) {
    for (const record of readRecords(file, path, at, Math.min(BLOCK_RECORDS, count - at))) {
      if (covered >= maxBytes || records.length >= MAX_PAGE_SEGMENTS) break;
      records.push(record);
      covered = record.offset + record.length - offset;
      at += 1;
    }
  }
  return records;
}

/** Number of the first record that ends behind `offset`; `count` where there is none. */
function firstRecordBehind(file: number, path: string, offset: number, count: number): number {
  let low = 0;
  let high = count;
  // The last block first: that is where followers are.
  const tail = Math.max(0, count - BLOCK_RECORDS);
  if (tail > 0) {
    const [first] = readRecords(file, path, tail, 1);
    if (first !== undefined && first.offset <= offset) low = tail;
    else high = tail;
  }
  while (high - low > BLOCK_RECORDS) {
    const middle = (low + high) >>> 1;
    const [record] = readRecords(file, path, middle, 1);
    if (record !== undefined && record.offset + record.length > offset) high = middle;
    else low = middle + 1;
  }
  const block = readRecords(file, path, low, Math.min(BLOCK_RECORDS, count - low));
  const found = block.findIndex((record) => record.offset + record.length > offset);
  return found === -1 ? low + block.length : low + found;
}

function readRecords(file: number, path: string, first: number, count: number): IndexRecord[] {
  const bytes = Buffer.allocUnsafe(count * INDEX_RECORD_BYTES);
  const got = readSync(file, bytes, 0, bytes.length, first * INDEX_RECORD_BYTES);
  const records: IndexRecord[] = [];
  for (let at = 0; at + INDEX_RECORD_BYTES <= got; at += INDEX_RECORD_BYTES) {
    const record = decodeIndexRecord(bytes, at);
    if (record === undefined) throw corrupt(path, `record ${first + at / INDEX_RECORD_BYTES} has a wrong checksum`);
    records.push(record);
  }
  return records;
}
