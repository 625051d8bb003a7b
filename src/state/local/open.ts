/** State on one machine: an SQLite file and folders of files. */
import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../core/errors.ts";
import type { State } from "../port.ts";
import { createBlobs } from "./blobs.ts";
import { createChanges } from "./changes.ts";
import { createContents } from "./contents.ts";
import { openDatabase } from "./database.ts";
import { createEnvelopes } from "./envelopes.ts";
import { stateError } from "./errors.ts";
import { createLogs } from "./logs.ts";
import { createRecords } from "./records.ts";
import { createStager } from "./stager.ts";

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
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw folderError(dataDir, error);
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

function folderError(dataDir: string, error: unknown): AppError {
  const translated = stateError(error, "opening it", dataDir);
  if (translated.code !== "state_unavailable") return translated;
  // Whatever is wrong, it is about this folder: EEXIST is a file in its place.
  return new AppError("data_folder", `The data folder ${dataDir} can't be used: ${translated.message}`, {
    hint: "Make it a folder that you may write to, or name another one with --data-dir.",
    cause: error,
  });
}
