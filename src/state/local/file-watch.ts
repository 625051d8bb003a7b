/** Notices that a file or a folder may have changed: at once through the OS, and by a slow poll where it stays silent. */
import { type FSWatcher, watch } from "node:fs";
import type { Unsubscribe } from "../port.ts";

/** The OS loses no events in practice; the poll is for file systems that have none. */
const POLL_MS = 500;

/** Calls back, many events at once as one, for as long as it is not ended. Keeps no process alive. */
export function watchFile(path: string, onMaybeChanged: () => void): Unsubscribe {
  let scheduled: NodeJS.Immediate | undefined;
  const fire = (): void => {
    scheduled ??= setImmediate(() => {
      scheduled = undefined;
      onMaybeChanged();
    });
  };
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(path, { persistent: false }, fire);
    watcher.on("error", () => watcher?.close());
  } catch {
    // No watches left, or none on this file system: the poll has to do.
  }
  const poll = setInterval(onMaybeChanged, POLL_MS);
  poll.unref();
  return () => {
    watcher?.close();
    clearInterval(poll);
    if (scheduled !== undefined) clearImmediate(scheduled);
  };
}

/** Calls all of them, even where one throws. */
export function notify(callbacks: Iterable<() => void>): void {
  for (const callback of [...callbacks]) {
    try {
      callback();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
