/** A run's log, as it is read. */
import type { Static } from "typebox";
import { FAILURE_REASONS, RUN_STATUSES } from "../../core/run.ts";
import { Type } from "../schema-builder.ts";
import { literals, nullable, object } from "./parts.ts";
import { RunView } from "./runs.ts";

export const LogQuery = object({
  /** Byte offset to read from; `Last-Event-ID` wins over it. */
  offset: Type.Optional(Type.Integer({ minimum: 0 })),
  /** JSON and plain text: wait for more, up to this many ms, where there is nothing yet. */
  waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 30_000 })),
  maxBytes: Type.Optional(Type.Integer({ minimum: 1, maximum: 4_194_304 })),
});
export type LogQuery = Static<typeof LogQuery>;

const LogSegmentSchema = object({
  channel: literals(["out", "err", "job"]),
  timeMs: Type.Integer(),
  /** base64 */
  bytes: Type.String(),
});
/** Answer of the log route as JSON, and data of its SSE event `log` (whose `id` is `nextOffset`). */
export const LogChunk = object({
  offset: Type.Integer(),
  segments: Type.Array(LogSegmentSchema),
  nextOffset: Type.Integer(),
});
export type LogChunk = Static<typeof LogChunk>;

export const LogAnswer = object({
  offset: Type.Integer(),
  segments: Type.Array(LogSegmentSchema),
  nextOffset: Type.Integer(),
  run: RunView,
  /** Set when `run.status` is terminal: the log ends here. */
  finalOffset: nullable(Type.Integer()),
  sha256: nullable(Type.String()),
});
export type LogAnswer = Static<typeof LogAnswer>;

/** Data of the SSE event `end`, the last of a log. */
export const LogEnd = object({
  status: literals(RUN_STATUSES),
  reason: nullable(literals(FAILURE_REASONS)),
  message: nullable(Type.String()),
  exitCode: nullable(Type.Integer()),
  finalOffset: Type.Integer(),
  sha256: nullable(Type.String()),
});
export type LogEnd = Static<typeof LogEnd>;
