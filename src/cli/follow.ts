/** Follows a run's log to its end over every break: each byte once, in order. */
import type { Client } from "../api/client.ts";
import { pause } from "../api/http.ts";
import { type LogEvent, SILENCE_LIMIT_MS } from "../api/log-events.ts";
import { NoStreamError } from "../api/log-stream.ts";
import type { LogChunk, LogEnd } from "../api/schemas/logs.ts";
import type { RunView } from "../api/schemas/runs.ts";
import { AppError, type ErrorCode } from "../core/errors.ts";
import type { DbtFinished } from "../core/run.ts";
import { pollLog } from "./poll-log.ts";

type Channel = LogChunk["segments"][number]["channel"];

/** Where a followed run goes. */
export interface FollowSink {
  run(view: RunView): void;
  /** Resolves when more can be taken. */
  bytes(channel: Channel, bytes: Uint8Array): Promise<void>;
  /** The connection broke; called once for each break. */
  broken(reason: string): void;
  mended(): void;
}

export interface FollowOptions {
  readonly client: Client;
  /** Finds the server again after a break: a restarted one may have another port and token. */
  readonly reconnect: () => Promise<Client>;
  readonly runId: string;
  readonly sink: FollowSink;
  /** Whether to leave when dbt has ended and all it printed has been read; else at the run's own end. */
  readonly leaveAt: (finished: DbtFinished) => boolean;
  /** How long a break may last. */
  readonly giveUpAfterMs: number;
  /** Aborted to leave at once; `follow` then rejects with its reason. */
  readonly signal?: AbortSignal;
  readonly offset?: number;
  readonly silenceMs?: number;
  readonly pollMs?: number;
}

export interface Followed {
  /** Undefined only where the server never sent the run. */
  readonly run: RunView | undefined;
  readonly finished: DbtFinished | null;
  readonly end: LogEnd | null;
  /** The client that worked last. */
  readonly client: Client;
}

/** Answers that asking again will not change. */
const FINAL_CODES: ReadonlySet<ErrorCode> = new Set(["run_not_found", "run_ambiguous", "bad_request"]);
/** The server let the run be followed before: it is who follows that it no longer knows, or no longer lets. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(["unauthorized", "forbidden"]);
/** A restarted server has a new token, which is found by reconnecting: refused so often it is no restart. */
const MAX_REFUSALS = 5;
const MAX_DELAY_MS = 2000;

/** Bytes are missing in front of what came: asks again from where they are wanted. */
class GapError extends Error {}

/** Rejects with `connection_lost` when a break lasts too long, or the server lets nobody follow any more who asks. */
export async function follow(options: FollowOptions): Promise<Followed> {
  const { runId, sink, signal, giveUpAfterMs, silenceMs = SILENCE_LIMIT_MS, pollMs = 1000 } = options;
  let { client, offset = 0 } = options;
  let run: RunView | undefined;
  let finished: DbtFinished | null = null;
  let end: LogEnd | null = null;
  let polling = false;
  let brokenSinceMs: number | undefined;
  let tries = 0;
  let refusals = 0;

  const takeLog = async (chunk: LogChunk) => {
    if (chunk.offset > offset) throw new GapError(`bytes ${offset} to ${chunk.offset} are missing`);
    let at = chunk.offset;
    for (const segment of chunk.segments) {
      const bytes = Buffer.from(segment.bytes, "base64");
      const known = offset - at;
      at += bytes.length;
      if (at <= offset) continue;
      await sink.bytes(segment.channel, known > 0 ? bytes.subarray(known) : bytes);
      signal?.throwIfAborted();
      offset = at;
    }
  };

  /** True when the reader may go. */
  const take = async (event: LogEvent): Promise<boolean> => {
    switch (event.type) {
      case "run":
        run = event.data;
        finished = run.dbtFinished ?? finished;
        sink.run(run);
        break;
      case "log":
        await takeLog(event.data);
        break;
      case "dbt-finished":
        finished = event.data;
        break;
      case "end":
        if (event.data.finalOffset > offset) throw new GapError(`bytes from ${offset} on are missing`);
        end = event.data;
        return true;
      case "timeout":
        break;
    }
    return finished !== null && offset >= finished.dbtOffset && options.leaveAt(finished);
  };

  for (;;) {
    let reason = "the server ended the stream";
    let isBreak = true;
    try {
      const events = polling
        ? pollLog(client, runId, { offset, pollMs, silenceMs, signal })
        : client.logStream(runId, { offset, silenceMs, signal });
      for await (const event of events) {
        if (brokenSinceMs !== undefined) sink.mended();
        brokenSinceMs = undefined;
        tries = 0;
        refusals = 0;
        isBreak = event.type !== "timeout";
        if (await take(event)) return { run, finished, end, client };
      }
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      reason = error instanceof Error ? error.message : String(error);
      if (error instanceof NoStreamError) {
        polling = true;
        isBreak = false;
      } else if (error instanceof AppError && REFUSALS.has(error.code)) {
        refusals += 1;
        if (refusals >= MAX_REFUSALS) throw refused(client, runId, run, error);
      } else if (error instanceof AppError && FINAL_CODES.has(error.code)) throw error;
    }
    if (!isBreak) continue;
    if (brokenSinceMs === undefined) {
      brokenSinceMs = Date.now();
      sink.broken(reason);
    } else if (Date.now() - brokenSinceMs > giveUpAfterMs) throw lost(client, runId, run, giveUpAfterMs, reason);
    const delayMs = Math.min(100 * 2 ** tries, MAX_DELAY_MS) * (0.5 + Math.random() / 2);
    tries += 1;
    await pause(delayMs, signal);
    client = await options.reconnect().catch(() => client);
  }
}

function lost(client: Client, runId: string, run: RunView | undefined, afterMs: number, reason: string): AppError {
  return new AppError(
    "connection_lost",
    `${nameOf(runId, run)} goes on, but ${client.baseUrl} could not be reached for ${Math.round(afterMs / 1000)} s: ${reason}`,
    { hint: `dbt-remote attach ${runId}` },
  );
}

function refused(client: Client, runId: string, run: RunView | undefined, cause: AppError): AppError {
  const cure = cause.hint === undefined ? "" : ` ${cause.hint}`;
  return new AppError(
    "connection_lost",
    `${nameOf(runId, run)} goes on, but ${client.baseUrl} no longer lets you follow it: ${cause.message}${cure}`,
    { hint: `dbt-remote attach ${runId}`, cause },
  );
}

function nameOf(runId: string, run: RunView | undefined): string {
  return run === undefined ? `Run ${runId}` : `Run ${run.number}`;
}
