/**
 * The SSE form of a log. Events, in order:
 * - `run` {RunView}: first, and whenever status, waitingFor or warnings change;
 * - `log` {LogChunk}: bytes; the event's id is the offset of the next byte wanted;
 * - `dbt-finished` {DbtFinished}: once, behind dbt's last byte;
 * - `end` {LogEnd}: once, at finalOffset, when the run's status is terminal; the server then closes;
 * - `timeout` {}: the server ends the stream; resume with the last id.
 * A comment line is sent as a ping at least every 8 s.
 */
import type { DbtFinished } from "../core/run.ts";
import type { LogChunk, LogEnd } from "./schemas/logs.ts";
import type { RunView } from "./schemas/runs.ts";

export type LogEvent =
  | { readonly type: "run"; readonly data: RunView }
  | { readonly type: "log"; readonly data: LogChunk }
  | { readonly type: "dbt-finished"; readonly data: DbtFinished }
  | { readonly type: "end"; readonly data: LogEnd }
  | { readonly type: "timeout"; readonly data: Record<string, never> };

/** How long a stream may be mute before a reader takes it for dead, in ms. */
export const SILENCE_LIMIT_MS = 20_000;
export const PING_INTERVAL_MS = 8_000;
