/** A log as server-sent events: read with a watchdog, because a buffering proxy keeps a stream open but mute. */
import { AppError } from "../core/errors.ts";
import type { Http } from "./http.ts";
import type { LogEvent } from "./log-events.ts";
import { paths } from "./paths.ts";
import { sseParser } from "./sse.ts";

export interface LogStreamOptions {
  /** Offset of the first byte wanted. */
  readonly offset: number;
  /** How long the server may say nothing, not even a ping, before the stream counts as broken. */
  readonly silenceMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The stream cannot be used as one: asking again and again is the way. */
export class NoStreamError extends Error {
  override readonly name = "NoStreamError";
}

const EVENT_TYPES: ReadonlySet<string> = new Set(["run", "log", "dbt-finished", "end", "timeout"]);

/**
 * Events from an offset on. Ends where the server ends the stream; throws where it breaks, is mute for too long
 * (`NoStreamError` where it said nothing at all), or is refused.
 */
export async function* logStream(http: Http, ref: string, options: LogStreamOptions): AsyncGenerator<LogEvent> {
  const { offset, silenceMs, signal } = options;
  const stop = new AbortController();
  const relay = () => stop.abort(signal?.reason);
  if (signal?.aborted) relay();
  else signal?.addEventListener("abort", relay, { once: true });
  let received = false;
  let mute = false;
  /** Gives up waiting for the server after `silenceMs`; time that the reader takes for itself does not count. */
  const watched = async <T>(wait: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => {
      mute = true;
      stop.abort(new AppError("server_unreachable", `The server said nothing for ${silenceMs / 1000} s.`));
    }, silenceMs);
    try {
      return await wait;
    } finally {
      clearTimeout(timer);
    }
  };
  try {
    const response = await watched(
      http.send("GET", `${paths.log(ref)}?offset=${offset}`, {
        accept: "text/event-stream",
        signal: stop.signal,
        repeatable: false,
      }),
    );
    const type = response.headers.get("content-type") ?? "";
    if (!type.startsWith("text/event-stream") || response.body === null) {
      throw new NoStreamError(`The server answered with ${type || "no type"}.`);
    }
    const parse = sseParser();
    const chunks = response.body[Symbol.asyncIterator]();
    for (;;) {
      const next = await watched(chunks.next());
      if (next.done) return;
      received = true;
      for (const { event, data } of parse(next.value)) {
        if (EVENT_TYPES.has(event)) yield { type: event, data: JSON.parse(data) } as LogEvent;
      }
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (mute && !received) throw new NoStreamError(`The event stream stayed mute for ${silenceMs / 1000} s.`);
    throw error;
  } finally {
    signal?.removeEventListener("abort", relay);
    stop.abort();
  }
}
