/** What a log's reader is sent, as bytes: frames are made once and shared by all who are at the same place. */
import type { LogEvent } from "../../api/log-events.ts";
import type { LogChunk, LogEnd } from "../../api/schemas/logs.ts";
import { isTerminal, type Run } from "../../core/run.ts";
import type { LogName, LogPage } from "../../state/port.ts";

/** A comment line, which readers drop. */
export const PING_FRAME: Buffer = Buffer.from(":\n\n");

/** One SSE event. `id` is the offset of the next byte wanted. */
export function frameOf<Type extends LogEvent["type"]>(
  type: Type,
  data: Extract<LogEvent, { type: Type }>["data"],
  id?: number,
): Buffer {
  return Buffer.from(`event: ${type}\n${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`);
}

/** A page as it goes over the wire. */
export function chunkOf(offset: number, page: LogPage): LogChunk {
  return {
    offset,
    segments: page.segments.map(({ channel, timeMs, bytes }) => ({
      channel,
      timeMs,
      bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64"),
    })),
    nextOffset: page.nextOffset,
  };
}

/** Only the bytes of a page. */
export function bytesOf(page: LogPage): Buffer {
  return Buffer.concat(page.segments.map((segment) => segment.bytes));
}

/**
 * Where the stream ends, as soon as it is certain; undefined while more may come. `run` has to have been read before
 * `page`: a job writes its last byte first and its terminal status last.
 */
export function endOf(run: Run, name: LogName, page: LogPage): LogEnd | undefined {
  if (!isTerminal(run.status)) return undefined;
  // A job that was killed leaves no size; then the end is where nothing more comes.
  const known = page.seal?.finalOffset ?? (name === "log" ? run.logSize : null);
  const isPast = page.segments.length === 0 || (known !== null && page.nextOffset >= known);
  if (!isPast) return undefined;
  return {
    status: run.status,
    reason: run.reason,
    message: run.message,
    exitCode: run.exitCode,
    finalOffset: known ?? page.nextOffset,
    sha256: page.seal?.sha256 ?? (name === "log" ? run.logSha256 : null),
  };
}
