/** Opens the one SQLite file that the server and all jobs share. */
import { closeSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { migrate } from "./schema.ts";

/** How long a write waits for the write of another process. */
const BUSY_TIMEOUT_MS = 10_000;

export function openDatabase(path: string): DatabaseSync {
  // SQLite would make it readable for all; its companions take the mode of the file.
  closeSync(openSync(path, "a", 0o600));
  const db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    migrate(db, path);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
