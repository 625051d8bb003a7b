import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { LogChannel, LogSegment } from "../port.ts";
import { decodeFrames, encodeFrame } from "./log-frames.ts";

const segments = fc.array(
  fc.record({
    channel: fc.constantFrom<LogChannel>("out", "err", "job"),
    timeMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
    bytes: fc.uint8Array({ maxLength: 300 }),
  }),
);

/** What a reader makes of them: channel by byte, and the time of each first byte of a channel's run. */
function flat(all: readonly LogSegment[]): { channels: LogChannel[]; bytes: Buffer } {
  return {
    channels: all.flatMap(({ channel, bytes }) => Array.from(bytes, () => channel)),
    bytes: Buffer.concat(all.map(({ bytes }) => bytes)),
  };
}

test("frames, one behind the other, read as what was written", () => {
  fc.assert(
    fc.property(fc.array(segments, { maxLength: 4 }), fc.nat(), (batches, start) => {
      const frames = batches.map(encodeFrame);
      const object = Buffer.concat(frames.map((frame) => frame?.bytes ?? Buffer.alloc(0)));
      const read = decodeFrames(object, start, "x");
      assert.deepEqual(flat(read), flat(batches.flat()));
      let offset = start;
      for (const segment of read) {
        assert.equal(segment.offset, offset);
        offset += segment.bytes.length;
      }
      assert.equal(
        frames.reduce((sum, frame) => sum + (frame?.length ?? 0), 0),
        offset - start,
      );
    }),
  );
});

test("times are kept, also where they go backwards", () => {
  const batch: LogSegment[] = [50, 1_795_000_000_000, 7].map((timeMs, number) => ({
    ...{ channel: number % 2 === 0 ? "out" : "err", timeMs, bytes: Buffer.from("x") },
  }));
  const read = decodeFrames(encodeFrame(batch)?.bytes ?? Buffer.alloc(0), 0, "x");
  assert.deepEqual(
    read.map(({ timeMs }) => timeMs),
    [50, 1_795_000_000_000, 7],
  );
});

test("a line of a log costs a few bytes more than it has", () => {
  const line: LogSegment = { channel: "out", timeMs: 1_795_000_000_000, bytes: Buffer.alloc(80, "x") };
  assert.ok((encodeFrame([line])?.bytes.length ?? 0) <= 80 * 1.1);
});

test("damage is told with its place", () => {
  const bytes = encodeFrame([{ channel: "out", timeMs: 1, bytes: Buffer.from("hello") }])?.bytes ?? Buffer.alloc(0);
  assert.throws(() => decodeFrames(bytes.subarray(0, bytes.length - 1), 0, "x"), /x is damaged at byte/);
  assert.throws(() => decodeFrames(Buffer.concat([bytes, Buffer.from("y")]), 0, "x"), /damaged at byte 1\d/);
  assert.throws(() => decodeFrames(Buffer.from([0xd1, 0x80, 0x80]), 0, "x"), /damaged/);
});
