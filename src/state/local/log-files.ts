/**
 * The files of one log stream, in the run's folder:
 * - `<name>.data`: the bytes, one after the other;
 * - `<name>.index`: one record of 32 bytes a segment, in order;
 * - `<name>.seal`: final offset and hash, once the stream has ended.
 *
 * What can be seen: a byte is part of the log as soon as the index record that covers it is complete. Data is written
 * first, then its records, so whatever a record covers is there. A writer that was killed in between leaves bytes, or
 * part of a record, that nobody was shown; the next writer cuts them off. Index records are never taken back.
 */
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { checkKey } from "../names.ts";
import type { LogChannel, LogName } from "../port.ts";

export interface LogPaths {
  readonly folder: string;
  readonly data: string;
  readonly index: string;
  readonly seal: string;
}

export function logFolder(root: string, runId: string): string {
  return join(root, checkKey(runId));
}

export function logPaths(root: string, runId: string, name: LogName): LogPaths {
  const folder = logFolder(root, runId);
  return {
    folder,
    data: join(folder, `${name}.data`),
    index: join(folder, `${name}.index`),
    seal: join(folder, `${name}.seal`),
  };
}

export const INDEX_RECORD_BYTES = 32;

const CHANNELS: readonly LogChannel[] = ["out", "err", "job"];

export interface IndexRecord {
  readonly offset: number;
  readonly length: number;
  readonly channel: LogChannel;
  readonly timeMs: number;
}

/** Layout, little-endian: offset f64, time f64, length u32, channel u32, zero u32, CRC-32 of all before. */
export function encodeIndexRecord(record: IndexRecord, target: Buffer, at: number): void {
  target.writeDoubleLE(record.offset, at);
  target.writeDoubleLE(record.timeMs, at + 8);
  target.writeUInt32LE(record.length, at + 16);
  target.writeUInt32LE(CHANNELS.indexOf(record.channel), at + 20);
  target.writeUInt32LE(0, at + 24);
  target.writeUInt32LE(crc32(target.subarray(at, at + 28)), at + 28);
}

/** Undefined where the record is damaged. */
export function decodeIndexRecord(source: Buffer, at: number): IndexRecord | undefined {
  const channel = CHANNELS[source.readUInt32LE(at + 20)];
  if (channel === undefined || source.readUInt32LE(at + 28) !== crc32(source.subarray(at, at + 28))) return undefined;
  return {
    offset: source.readDoubleLE(at),
    timeMs: source.readDoubleLE(at + 8),
    length: source.readUInt32LE(at + 16),
    channel,
  };
}
