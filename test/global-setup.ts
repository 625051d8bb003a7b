/** Runs once around all tests: one PostgreSQL for all of them. scripts/test.mjs names this file where a test needs it. */
import { type PostgresServer, postgresMissing, startPostgres } from "./postgres.ts";

let server: PostgresServer | undefined;

export async function globalSetup(): Promise<void> {
  if (postgresMissing() !== undefined) return; // the tests that need it say so
  server = await startPostgres();
  const { stop: _, ...connection } = server;
  process.env["TEST_POSTGRES"] = JSON.stringify(connection);
}

export async function globalTeardown(): Promise<void> {
  server?.stop();
}
