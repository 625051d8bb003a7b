/** State on one machine: an SQLite file and folders of files. */
import { accessSync, constants, readdirSync } from "node:fs";
import { join } from "node:path";
import type { State } from "../port.ts";
import { createBlobs } from "./blobs.ts";
import { createChanges } from "./changes.ts";
import { createContents } from "./contents.ts";
import { openDatabase } from "./database.ts";
import { createEnvelopes } from "./envelopes.ts";
import { stateError } from "./errors.ts";
import { createLogs } from "./logs.ts";
import { createRecords } from "./records.ts";
import { createStager, makeFolder } from "./stager.ts";

export interface LocalStateParams {
  /** Made if absent, readable by its owner only. Any number of processes may have it open. */
  readonly dataDir: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Opens or makes the State of a data folder. */
export async function openLocalState({ dataDir, now }: LocalStateParams): Promise<State> {
  const database = join(dataDir, "state.db");
  try {
    makeFolder(dataDir);
    // Fails where it is a file.
    readdirSync(dataDir);
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw stateError(error, "opening it", dataDir);
  }
  try {
    const db = openDatabase(database);
    const changes = createChanges(db, join(dataDir, "state.bell"));
    const staged = join(dataDir, "staged");
    const stager = createStager(staged, now);
    return {
      records: createRecords(db, database, changes),
      blobs: createBlobs(join(dataDir, "blobs"), stager, now),
      contents: createContents(
        { contents: join(dataDir, "contents"), uploads: join(dataDir, "uploads"), staged },
        stager,
        now,
      ),
      logs: createLogs(join(dataDir, "logs"), stager),
      envelopes: createEnvelopes({ folder: join(dataDir, "envelopes"), key: join(dataDir, "envelope.key") }, stager),
      async close() {
        if (!db.isOpen) return;
        changes.close();
        db.close();
      },
    };
  } catch (error) {
    throw stateError(error, "opening the state", database);
  }
}
