/** Listeners to Firestore, one for all who listen to the same; each is renewed when it breaks. */
import type { Unsubscribe } from "../port.ts";

export interface Listeners<T> {
  /** `onValue` is called with what is there now, soon, and with every change; a latecomer hears only of changes. */
  listen(key: string, onValue: (value: T) => void): Unsubscribe;
  /** Begins each anew: a broken one may wait for long before it tries again. */
  restart(): void;
  close(): void;
}

/** Starts to listen; calls back until the returned function is called, or once with an error and never again. */
export type StartListening<T> = (
  key: string,
  onValue: (value: T) => void,
  onError: (error: unknown) => void,
) => Unsubscribe;

interface Entry<T> {
  readonly callbacks: Set<(value: T) => void>;
  stop: Unsubscribe;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 15_000;
/** A listener that has said nothing for as long as this is begun anew, later ones after twice the time. */
const FIRST_PATIENCE_MS = 3_000;
const LONGEST_PATIENCE_MS = 60_000;

/**
 * The client itself goes on after most failures. What it gives up on (a refusal, a database gone) is begun anew, and so is
 * a listener that never tells what is there at first: its stream may hang without an error.
 */
export function createListeners<T>(start: StartListening<T>): Listeners<T> {
  const entries = new Map<string, Entry<T>>();

  function begin(key: string, callbacks: Set<(value: T) => void>): Unsubscribe {
    let pauseMs = FIRST_PAUSE_MS;
    let patienceMs = FIRST_PATIENCE_MS;
    let timer: NodeJS.Timeout | undefined;
    let stopOne: Unsubscribe = () => undefined;
    const nextIn = (ms: number): void => {
      clearTimeout(timer);
      timer = setTimeout(next, ms);
      timer.unref();
    };
    const next = (): void => {
      stopOne();
      nextIn(patienceMs);
      patienceMs = Math.min(patienceMs * 2, LONGEST_PATIENCE_MS);
      stopOne = start(
        key,
        (value) => {
          clearTimeout(timer);
          pauseMs = FIRST_PAUSE_MS;
          patienceMs = FIRST_PATIENCE_MS;
          for (const callback of [...callbacks]) callback(value);
        },
        () => {
          nextIn(pauseMs);
          pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
        },
      );
    };
    next();
    return () => {
      clearTimeout(timer);
      stopOne();
    };
  }

  return {
    listen(key, onValue) {
      let entry = entries.get(key);
      // Its own function, so that the same one can listen twice.
      const callback = (value: T): void => onValue(value);
      if (entry === undefined) {
        const callbacks = new Set([callback]);
        entry = { callbacks, stop: () => undefined };
        entries.set(key, entry);
        entry.stop = begin(key, callbacks);
      }
      entry.callbacks.add(callback);
      const own = entry;
      return () => {
        if (!own.callbacks.delete(callback) || own.callbacks.size > 0) return;
        own.stop();
        if (entries.get(key) === own) entries.delete(key);
      };
    },
    restart() {
      for (const [key, entry] of entries) {
        entry.stop();
        entry.stop = begin(key, entry.callbacks);
      }
    },
    close() {
      for (const { stop, callbacks } of entries.values()) {
        callbacks.clear();
        stop();
      }
      entries.clear();
    },
  };
}
