/**
 * Two small records beside each log. The head says how far it goes; it is written when somebody follows, at most once a
 * second, and when the log ends. The other is written by those who follow, so that the writer knows of them.
 */
import type { LogName, LogSeal, Unsubscribe } from "../port.ts";
import type { GcpRecords } from "./records.ts";

const HEADS = "log-heads";
const FOLLOWED = "log-followed";
/** How often who follows says so again … */
const FOLLOW_AGAIN_MS = 30_000;
/** … and how long it is believed; a clock may be off by some seconds. */
const FOLLOWED_FOR_MS = 75_000;

export interface LogHead {
  /** Behind the last byte, at some time not long ago. */
  readonly offset: number;
  readonly seal: LogSeal | null;
}

export interface LogHeads {
  /** The head as this process knows it by a watch, or else as it is. */
  get(runId: string, name: LogName): Promise<LogHead | undefined>;
  put(runId: string, name: LogName, head: LogHead): Promise<void>;
  /** Calls back when the head has changed, and lets the writer know that somebody wants to hear of it. */
  watch(runId: string, name: LogName, onChange: () => void): Unsubscribe;
  /** Tells whether the log is followed, soon and with every change; it is taken for followed until it is known. */
  watchFollowed(runId: string, name: LogName, onChange: () => void): { isFollowed(): boolean; stop(): void };
  remove(runId: string, name: LogName): Promise<void>;
}

interface Followed {
  readonly atMs: number;
  /** For Firestore, which forgets it then. */
  readonly expiresAtMs: number;
}

interface Watched {
  count: number;
  /** Null as long as it is not known. */
  head: LogHead | undefined | null;
  stop: Unsubscribe;
}

export function createLogHeads(records: GcpRecords, now: () => number): LogHeads {
  const watched = new Map<string, Watched>();
  const keyOf = (runId: string, name: LogName): string => `${runId}.${name}`;
  const read = async (key: string): Promise<LogHead | undefined> => (await records.get<LogHead>(HEADS, key))?.data;

  /** One for all who watch a log in this process: keeps its head, and says now and then that it is followed. */
  function enter(key: string): Watched {
    const found = watched.get(key);
    if (found !== undefined) {
      found.count += 1;
      return found;
    }
    let timer: NodeJS.Timeout | undefined;
    const follow = (): void => {
      // Lost, the log is a little late for whoever follows; the next one comes.
      records
        .put<Followed>(FOLLOWED, key, { atMs: now(), expiresAtMs: now() + FOLLOWED_FOR_MS })
        .catch(() => undefined);
    };
    const stopListening = records.listen<LogHead>(HEADS, key, (record) => {
      entry.head = record?.data;
      // What has ended needs nobody to write sooner.
      if (record !== undefined && record.data.seal !== null) clearInterval(timer);
      else if (timer === undefined) {
        follow();
        timer = setInterval(follow, FOLLOW_AGAIN_MS);
        timer.unref();
      }
    });
    const entry: Watched = {
      count: 1,
      head: null,
      stop() {
        clearInterval(timer);
        stopListening();
      },
    };
    watched.set(key, entry);
    return entry;
  }

  return {
    async get(runId, name) {
      const key = keyOf(runId, name);
      const known = watched.get(key)?.head ?? null;
      return known ?? read(key);
    },
    put: (runId, name, head) => records.put(HEADS, keyOf(runId, name), head),
    watch(runId, name, onChange) {
      const key = keyOf(runId, name);
      const entry = enter(key);
      const stop = records.listen<LogHead>(HEADS, key, (record) => {
        if (record !== undefined) onChange();
      });
      let isOver = false;
      return () => {
        if (isOver) return;
        isOver = true;
        stop();
        entry.count -= 1;
        if (entry.count > 0) return;
        entry.stop();
        if (watched.get(key) === entry) watched.delete(key);
      };
    },
    watchFollowed(runId, name, onChange) {
      // Whoever starts a run mostly follows it.
      let lastMs: number | undefined = now();
      const stop = records.listen<Followed>(FOLLOWED, keyOf(runId, name), (record) => {
        lastMs = record?.data.atMs;
        onChange();
      });
      return { stop, isFollowed: () => lastMs !== undefined && now() - lastMs < FOLLOWED_FOR_MS };
    },
    async remove(runId, name) {
      const key = keyOf(runId, name);
      await Promise.all([records.remove(HEADS, key), records.remove(FOLLOWED, key)]);
    },
  };
}
