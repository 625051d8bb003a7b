/** Everyone who follows a log. Those of one stream share its watch, its reads and its frames. */
import type { ServerResponse } from "node:http";
import { PING_INTERVAL_MS } from "../../api/log-events.ts";
import type { RunView } from "../../api/schemas/runs.ts";
import type { Run } from "../../core/run.ts";
import type { LogName, LogStore, Unsubscribe } from "../../state/port.ts";
import { createFollower, type Follower } from "./follower.ts";
import { createTail, type Tail } from "./tail.ts";

/** What a stream has to know of its run. */
export interface FollowedRuns {
  get(runId: string): Promise<Run | undefined>;
  view(run: Run): Promise<RunView>;
  /** Calls back when anything that a view shows may have changed. */
  watch(runId: string, onChange: () => void): Unsubscribe;
  /** Called at once and several times a second while somebody follows. */
  followed(run: Run): void;
}

export interface LogHubOptions {
  readonly logs: LogStore;
  readonly runs: FollowedRuns;
  /** A stream is ended after this long, for its reader to resume. */
  readonly streamTimeoutMs: number;
  readonly onError: (error: unknown) => void;
}

export interface LogHub {
  /** Takes over the response and sends events from `offset` on, until the end, the timeout, or `close`. */
  follow(params: {
    readonly run: Run;
    readonly name: LogName;
    readonly offset: number;
    readonly response: ServerResponse;
    /** Ended with `timeout` at this time at the latest, in ms since the epoch; null: no such limit. */
    readonly endAtMs?: number | null;
  }): void;
  /** Resolves when the stream or its run may have changed, or after `waitMs`. */
  changed(params: { readonly runId: string; readonly name: LogName; readonly waitMs: number }): Changed;
  /** How many readers follow now. */
  readonly size: number;
  /** Ends every stream with `timeout`. */
  close(): void;
}

export interface Changed {
  readonly promise: Promise<void>;
  cancel(): void;
}

/** How often a run is told that somebody follows it; what is too often for it, it passes over. */
const FOLLOWED_EVERY_MS = 250;
/** A reader whose token is about to end must not come again and again at once. */
const SHORTEST_STREAM_MS = 1000;

export function createLogHub(options: LogHubOptions): LogHub {
  const tails = new Map<string, Tail>();
  const followers = new Set<Follower>();
  const waiting = new Set<Changed>();
  let closed = false;

  // Half the interval, so that no stream is mute for longer than the whole one.
  const pings = setInterval(() => {
    const quietSince = Date.now() - PING_INTERVAL_MS / 2;
    for (const follower of followers) follower.ping(quietSince);
  }, PING_INTERVAL_MS / 2);
  pings.unref();
  const follows = setInterval(() => {
    for (const tail of tails.values()) options.runs.followed(tail.run);
  }, FOLLOWED_EVERY_MS);
  follows.unref();

  const tailOf = (run: Run, name: LogName): Tail => {
    const key = `${run.id}/${name}`;
    const found = tails.get(key);
    if (found !== undefined) return found;
    const tail = createTail({ ...options, run, name, onEmpty: () => tails.delete(key) });
    tails.set(key, tail);
    return tail;
  };

  return {
    follow({ run, name, offset, response, endAtMs = null }) {
      const leftMs = endAtMs === null ? options.streamTimeoutMs : Math.max(SHORTEST_STREAM_MS, endAtMs - Date.now());
      const follower = createFollower({
        response,
        offset,
        timeoutMs: Math.min(options.streamTimeoutMs, leftMs),
        onReady: () => tail.wake(follower),
        onGone: () => {
          followers.delete(follower);
          tail.remove(follower);
        },
      });
      const tail = tailOf(run, name);
      followers.add(follower);
      options.runs.followed(run);
      tail.add(follower);
      if (closed) follower.timeOut();
    },

    changed({ runId, name, waitMs }) {
      let cancel = (): void => {};
      const promise = new Promise<void>((resolve) => {
        const stops = [options.logs.watch(runId, name, resolve), options.runs.watch(runId, resolve)];
        const timer = setTimeout(resolve, closed ? 0 : waitMs);
        stops.push(() => clearTimeout(timer));
        cancel = () => {
          for (const stop of stops.splice(0)) stop();
          waiting.delete(changed);
          resolve();
        };
      });
      const changed: Changed = { promise, cancel };
      waiting.add(changed);
      return changed;
    },

    get size() {
      return followers.size;
    },

    close() {
      closed = true;
      clearInterval(pings);
      clearInterval(follows);
      for (const follower of [...followers]) follower.timeOut();
      for (const changed of [...waiting]) changed.cancel();
    },
  };
}
