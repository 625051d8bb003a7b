/**
 * How segments stand in an object: a few bytes before each batch tell channels, times and lengths. Frames follow each other
 * without anything between, so that objects joined to one are read the same way.
 *
 * A frame: a mark; the number of segments; a time in five bytes; then for each segment its length times four plus its
 * channel, and its time less the one before; then all bytes. Numbers are little-endian base-128 varints. Another mark
 * stands for one segment of just that time: a line by itself, as most runs print, takes eight bytes more.
 */
import { AppError } from "../../core/errors.ts";
import { mergeSegments } from "../merge-segments.ts";
import type { LogChannel, LogSegment, PlacedLogSegment } from "../port.ts";

const MARK = 0xd1;
const MARK_OF_ONE = 0xd0;
/** Five bytes of milliseconds last for 34 years. */
const TIME_BYTES = 5;
const EPOCH_MS = Date.UTC(2024, 0, 1);
const CHANNELS: readonly LogChannel[] = ["out", "err", "job"];

/** One frame; neighbours of one channel become one segment. Undefined where there are no bytes. */
export function encodeFrame(segments: readonly LogSegment[]): { bytes: Buffer; length: number } | undefined {
  const { merged: exact, chunks } = mergeSegments(segments);
  const merged = exact.map((each) => ({ ...each, timeMs: Math.max(0, Math.round(each.timeMs)) }));
  const [first] = merged;
  if (first === undefined) return undefined;
  const sinceEpochMs = Math.max(0, first.timeMs - EPOCH_MS);
  const isOne = merged.length === 1 && first.timeMs >= EPOCH_MS;
  const head: number[] = [isOne ? MARK_OF_ONE : MARK];
  if (!isOne) pushVarint(head, merged.length);
  for (let byte = 0; byte < TIME_BYTES; byte += 1) head.push(Math.floor(sinceEpochMs / 256 ** byte) % 256);
  let before = sinceEpochMs + EPOCH_MS;
  for (const { channel, timeMs, length } of merged) {
    pushVarint(head, length * 4 + CHANNELS.indexOf(channel));
    if (isOne) break;
    const step = timeMs - before;
    pushVarint(head, step < 0 ? -step * 2 - 1 : step * 2);
    before = timeMs;
  }
  const length = merged.reduce((sum, each) => sum + each.length, 0);
  return { bytes: Buffer.concat([Buffer.from(head), ...chunks]), length };
}

/** All segments of an object; their bytes are views of it. Throws `state_corrupt`. */
export function decodeFrames(object: Buffer, start: number, name: string): PlacedLogSegment[] {
  const segments: PlacedLogSegment[] = [];
  const cursor = { at: 0 };
  let offset = start;
  const next = (): number => readVarint(object, cursor, name);
  while (cursor.at < object.length) {
    const mark = object[cursor.at];
    if (mark !== MARK && mark !== MARK_OF_ONE) throw corrupt(name, cursor.at);
    cursor.at += 1;
    const count = mark === MARK ? next() : 1;
    if (cursor.at + TIME_BYTES > object.length) throw corrupt(name, cursor.at);
    let timeMs = EPOCH_MS + object.readUIntLE(cursor.at, TIME_BYTES);
    cursor.at += TIME_BYTES;
    const rows: { channel: LogChannel; timeMs: number; length: number }[] = [];
    for (let row = 0; row < count; row += 1) {
      const tagged = next();
      const step = mark === MARK_OF_ONE ? 0 : next();
      timeMs += step % 2 === 0 ? step / 2 : -(step + 1) / 2;
      const channel = CHANNELS[tagged % 4];
      if (channel === undefined) throw corrupt(name, cursor.at);
      rows.push({ channel, timeMs, length: Math.floor(tagged / 4) });
    }
    for (const row of rows) {
      const bytes = object.subarray(cursor.at, cursor.at + row.length);
      if (bytes.length !== row.length) throw corrupt(name, cursor.at);
      segments.push({ channel: row.channel, timeMs: row.timeMs, offset, bytes });
      cursor.at += row.length;
      offset += row.length;
    }
  }
  return segments;
}

function pushVarint(target: number[], value: number): void {
  let left = value;
  for (; left >= 0x80; left = Math.floor(left / 0x80)) target.push((left % 0x80) + 0x80);
  target.push(left);
}

function readVarint(source: Buffer, cursor: { at: number }, name: string): number {
  let value = 0;
  for (let factor = 1; ; factor *= 0x80) {
    const byte = source[cursor.at];
    if (byte === undefined || factor > 2 ** 49) throw corrupt(name, cursor.at);
    cursor.at += 1;
    value += (byte % 0x80) * factor;
    if (byte < 0x80) return value;
  }
}

function corrupt(name: string, at: number): AppError {
  return new AppError("state_corrupt", `The log in ${name} is damaged at byte ${at}.`, {
    hint: "What comes before it can still be read.",
  });
}
