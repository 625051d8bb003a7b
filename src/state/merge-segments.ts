import type { LogChannel, LogSegment } from "./port.ts";

/** Bytes of one channel, as an index tells of them. */
export interface MergedSegment {
  readonly channel: LogChannel;
  readonly timeMs: number;
  readonly length: number;
}

/** A batch with neighbours of one channel as one: what tells of it grows with the batches, not with the lines. */
export function mergeSegments(segments: readonly LogSegment[]): {
  readonly merged: readonly MergedSegment[];
  readonly chunks: readonly Uint8Array[];
} {
  const merged: { channel: LogChannel; timeMs: number; length: number }[] = [];
  const chunks: Uint8Array[] = [];
  for (const { channel, timeMs, bytes } of segments) {
    if (bytes.byteLength === 0) continue;
    chunks.push(bytes);
    const last = merged.at(-1);
    if (last?.channel === channel) last.length += bytes.byteLength;
    else merged.push({ channel, timeMs, length: bytes.byteLength });
  }
  return { merged, chunks };
}
