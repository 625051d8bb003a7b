/** One server per data folder. Jobs share the folder with their server and take no lock. */
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AppError } from "../../core/errors.ts";
import { stateError } from "./errors.ts";
import { makeFolder } from "./stager.ts";

export interface DataDirLock {
  /** Tells those who are refused where the holder listens. */
  describe(url: string): void;
  release(): void;
}

interface Holder {
  readonly pid: number;
  readonly url: string | null;
}

/** A database that nothing refers to is closed when garbage is collected, and its lock would be gone with it. */
const held = new Set<DatabaseSync>();

/**
 * Holds the data folder until `release` or the end of the process, however it ends: the lock is the operating system's,
 * held by SQLite on a file of its own. Throws `state_locked` naming the holder.
 */
export function lockDataDir(dataDir: string, pid: number): DataDirLock {
  const path = join(dataDir, "server.lock");
  const holderPath = join(dataDir, "server.json");
  const db = open(dataDir, path, holderPath);
  held.add(db);
  const write = (holder: Holder): void => {
    try {
      writeFileSync(`${holderPath}.new`, JSON.stringify(holder), { mode: 0o600 });
      renameSync(`${holderPath}.new`, holderPath);
    } catch (error) {
      throw stateError(error, "locking the data folder", dataDir);
    }
  };
  write({ pid, url: null });
  return {
    describe: (url) => write({ pid, url }),
    release() {
      if (!db.isOpen) return;
      rmSync(holderPath, { force: true });
      db.close();
      held.delete(db);
    },
  };
}

function open(dataDir: string, path: string, holderPath: string): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    makeFolder(dataDir);
    closeSync(openSync(path, "a", 0o600));
    db = new DatabaseSync(path, { timeout: 0 });
    db.exec("BEGIN EXCLUSIVE");
    return db;
  } catch (error) {
    db?.close();
    const translated = stateError(error, "locking the data folder", dataDir);
    if (translated.code !== "state_unavailable") throw translated;
    throw refusal(dataDir, readHolder(holderPath));
  }
}

function refusal(dataDir: string, holder: Holder | undefined): AppError {
  const who = holder === undefined ? "" : ` (process ${holder.pid}${holder.url === null ? "" : `, ${holder.url}`})`;
  const stop = holder === undefined ? "Stop it" : `Stop it (kill ${holder.pid})`;
  return new AppError("state_locked", `Another dbt-server${who} uses the data folder ${dataDir}.`, {
    hint: `${stop}, or use another folder with --data-dir.`,
    details: { ...holder },
  });
}

function readHolder(path: string): Holder | undefined {
  try {
    const { pid, url } = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    return typeof pid === "number" ? { pid, url: typeof url === "string" ? url : null } : undefined;
  } catch {
    // Not written yet; the lock alone is reason enough.
    return undefined;
  }
}
