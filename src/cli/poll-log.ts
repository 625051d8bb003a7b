/** The log by plain requests, for networks that hold back event streams. */
import type { Client } from "../api/client.ts";
import { pause } from "../api/http.ts";
import type { LogEvent } from "../api/log-events.ts";

export interface PollOptions {
  readonly offset: number;
  /** Time from one request to the next while nothing new comes. */
  readonly pollMs: number;
  /** How long an answer may take. */
  readonly silenceMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The same events as the stream's, up to `end`. */
export async function* pollLog(client: Client, runId: string, options: PollOptions): AsyncGenerator<LogEvent> {
  const { pollMs, silenceMs, signal } = options;
  let { offset } = options;
  let version = "";
  for (;;) {
    const startedAtMs = Date.now();
    const limit = AbortSignal.timeout(pollMs + silenceMs);
    const page = await client.log(
      runId,
      { offset, waitMs: Math.min(pollMs, 30_000) },
      { signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) },
    );
    const seen = JSON.stringify([page.run.status, page.run.waitingFor, page.run.warnings, page.run.dbtFinished]);
    if (seen !== version) yield { type: "run", data: page.run };
    version = seen;
    const { segments, nextOffset, finalOffset, sha256 } = page;
    if (segments.length > 0) yield { type: "log", data: { offset: page.offset, segments, nextOffset } };
    const stood = nextOffset <= offset;
    offset = nextOffset;
    if (finalOffset !== null && offset >= finalOffset) {
      const { status, reason, message, exitCode } = page.run;
      yield { type: "end", data: { status, reason, message, exitCode, finalOffset, sha256 } };
      return;
    }
    if (stood) await pause(Math.max(0, startedAtMs + pollMs - Date.now()), signal);
  }
}
