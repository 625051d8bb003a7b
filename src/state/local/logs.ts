/** Logs as files; see log-files.ts for what is where and when it can be seen. */
import { existsSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { LogName, LogStore, Unsubscribe } from "../port.ts";
import { atEdge } from "./errors.ts";
import { notify, watchFile } from "./file-watch.ts";
import { logFolder, logPaths } from "./log-files.ts";
import { readPage } from "./log-reader.ts";
import { openLogWriter } from "./log-writer.ts";
import { makeFolder, type Stager } from "./stager.ts";

/** Bounds what one page holds in memory, whatever was asked for. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

interface WatchedStream {
  seen: string;
  readonly callbacks: Set<() => void>;
}

interface WatchedRun {
  readonly streams: Map<LogName, WatchedStream>;
  readonly stop: Unsubscribe;
}

export function createLogs(root: string, stager: Stager): LogStore {
  const watched = new Map<string, WatchedRun>();

  /** Changes whenever a reader could get more. */
  function stateOf(runId: string, name: LogName): string {
    const paths = logPaths(root, runId, name);
    const size = statSync(paths.index, { throwIfNoEntry: false })?.size ?? 0;
    return `${size} ${existsSync(paths.seal)}`;
  }

  function check(runId: string): void {
    for (const [name, stream] of watched.get(runId)?.streams ?? []) {
      const seen = stateOf(runId, name);
      if (seen === stream.seen) continue;
      stream.seen = seen;
      notify(stream.callbacks);
    }
  }

  function enter(runId: string): WatchedRun {
    const found = watched.get(runId);
    if (found !== undefined) return found;
    const folder = logFolder(root, runId);
    // It has to be there to be watched; the job may not have begun.
    makeFolder(folder);
    const run = { streams: new Map(), stop: watchFile(folder, () => check(runId)) };
    watched.set(runId, run);
    return run;
  }

  return {
    openWriter: (runId, name) =>
      atEdge("opening a log", root, () => openLogWriter(logPaths(root, runId, name), stager)),
    read: (runId, name, offset, maxBytes) =>
      atEdge("reading a log", root, () =>
        readPage(logPaths(root, runId, name), Math.max(0, offset), Math.min(Math.max(1, maxBytes), MAX_PAGE_BYTES)),
      ),
    watch(runId, name, onChange) {
      const run = enter(runId);
      const stream = run.streams.get(name) ?? { seen: stateOf(runId, name), callbacks: new Set() };
      run.streams.set(name, stream);
      // Its own function, so that the same callback can watch twice.
      const callback = (): void => onChange();
      stream.callbacks.add(callback);
      return () => {
        stream.callbacks.delete(callback);
        if (stream.callbacks.size === 0 && run.streams.get(name) === stream) run.streams.delete(name);
        if (run.streams.size > 0 || watched.get(runId) !== run) return;
        run.stop();
        watched.delete(runId);
      };
    },
    remove: (runId) =>
      atEdge("removing a log", root, () => rm(logFolder(root, runId), { recursive: true, force: true })),
  };
}
