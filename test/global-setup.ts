/**
 * Runs once around all tests: one PostgreSQL and one set of emulators for all of them. scripts/test.mjs names this file
 * where a test needs one, and says in `TEST_PARTS` which.
 */
import { type Emulators, emulatorsMissing, startEmulators } from "./emulators.ts";
import { type PostgresServer, postgresMissing, startPostgres } from "./postgres.ts";

let server: PostgresServer | undefined;
let emulators: Emulators | undefined;

export async function globalSetup(): Promise<void> {
  const parts = (process.env["TEST_PARTS"] ?? "").split(",");
  // Where one is missing, the tests that need it say so.
  await Promise.all([
    parts.includes("postgres") && postgresMissing() === undefined && setUpPostgres(),
    parts.includes("emulators") && emulatorsMissing() === undefined && setUpEmulators(),
  ]);
}

async function setUpPostgres(): Promise<void> {
  server = await startPostgres();
  const { stop: _, ...connection } = server;
  process.env["TEST_POSTGRES"] = JSON.stringify(connection);
}

async function setUpEmulators(): Promise<void> {
  emulators = await startEmulators();
  process.env["TEST_EMULATORS"] = JSON.stringify(emulators.env);
}

export async function globalTeardown(): Promise<void> {
  server?.stop();
  emulators?.stop();
}
