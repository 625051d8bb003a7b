/**
 * Tells who watches records that they changed, here or in another process. After each commit a writer rings a bell: it
 * rewrites one byte of a file that every watching process has under the OS's watch. What was rung for is then read from
 * the database, so a bell too many costs a query and a bell lost is made up for by the poll.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import type { Unsubscribe } from "../port.ts";
import { notify, watchFile } from "./file-watch.ts";

interface WatchedKey {
  version: number | undefined;
  readonly callbacks: Set<() => void>;
}

interface WatchedCollection {
  changes: number;
  readonly callbacks: Set<() => void>;
  readonly keys: Map<string, WatchedKey>;
}

export interface Changes {
  /** To be called after each commit. */
  ring(): void;
  watch(collection: string, key: string, onChange: () => void): Unsubscribe;
  watchAll(collection: string, onChange: () => void): Unsubscribe;
  close(): void;
}

export function createChanges(db: DatabaseSync, bellPath: string): Changes {
  closeSync(openSync(bellPath, "a", 0o600));
  // Not opened to append: it would grow with each ring.
  const bell = openSync(bellPath, "r+");
  const selectDataVersion = db.prepare("PRAGMA data_version");
  const selectChanges = db.prepare("SELECT changes FROM collections WHERE name = ?");
  const selectVersion = db.prepare("SELECT version FROM records WHERE collection = ? AND key = ?");
  const watched = new Map<string, WatchedCollection>();
  let stopWatching: Unsubscribe | undefined;
  let dataVersion: unknown;
  let ownWrites = false;
  let closed = false;

  const changesOf = (collection: string): number => Number(selectChanges.get(collection)?.["changes"] ?? 0);
  const versionOf = (collection: string, key: string): number | undefined => {
    const version = selectVersion.get(collection, key)?.["version"];
    return version === undefined ? undefined : Number(version);
  };

  function check(): void {
    if (closed) return;
    const current = selectDataVersion.get()?.["data_version"];
    if (current === dataVersion && !ownWrites) return;
    dataVersion = current;
    ownWrites = false;
    for (const [name, collection] of [...watched]) {
      const changes = changesOf(name);
      if (changes === collection.changes) continue;
      collection.changes = changes;
      notify(collection.callbacks);
      for (const [key, record] of [...collection.keys]) {
        const version = versionOf(name, key);
        if (version === record.version) continue;
        record.version = version;
        notify(record.callbacks);
      }
    }
  }

  /** A query that fails is no reason to end the process: the next check repeats it. */
  function checkQuietly(): void {
    try {
      check();
    } catch {
      dataVersion = undefined;
    }
  }

  function enter(name: string): WatchedCollection {
    if (stopWatching === undefined) {
      dataVersion = selectDataVersion.get()?.["data_version"];
      stopWatching = watchFile(bellPath, checkQuietly);
    }
    const found = watched.get(name) ?? { changes: changesOf(name), callbacks: new Set(), keys: new Map() };
    watched.set(name, found);
    return found;
  }

  function leave(name: string): void {
    const collection = watched.get(name);
    if (collection?.callbacks.size === 0 && collection.keys.size === 0) watched.delete(name);
    if (watched.size > 0) return;
    stopWatching?.();
    stopWatching = undefined;
  }

  return {
    ring() {
      ownWrites = true;
      try {
        writeSync(bell, "\n", 0);
      } catch {
        // The write itself is done; watchers hear of it by their poll.
      }
    },
    watch(name, key, onChange) {
      const collection = enter(name);
      const record = collection.keys.get(key) ?? { version: versionOf(name, key), callbacks: new Set() };
      collection.keys.set(key, record);
      // Its own function, so that the same callback can watch twice.
      const callback = (): void => onChange();
      record.callbacks.add(callback);
      return () => {
        record.callbacks.delete(callback);
        if (record.callbacks.size === 0 && collection.keys.get(key) === record) collection.keys.delete(key);
        leave(name);
      };
    },
    watchAll(name, onChange) {
      const collection = enter(name);
      const callback = (): void => onChange();
      collection.callbacks.add(callback);
      return () => {
        collection.callbacks.delete(callback);
        leave(name);
      };
    },
    close() {
      closed = true;
      stopWatching?.();
      closeSync(bell);
    },
  };
}
