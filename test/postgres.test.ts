import assert from "node:assert/strict";
import { test } from "node:test";
import { postgresDatabase, postgresMissing } from "./postgres.ts";
import { python, start } from "./programs.ts";
import { requirePart } from "./require.ts";

test("every caller gets a database of its own that dbt's driver can open", async (context) => {
  const reason = postgresMissing();
  if (!requirePart(context, "PostgreSQL", reason === undefined, reason ?? "")) return;
  const [one, other] = await Promise.all([postgresDatabase(), postgresDatabase()]);
  assert.notEqual(one.database, other.database);
  const query =
    "import psycopg2, sys; c = psycopg2.connect(sys.argv[1]).cursor(); c.execute('select current_database()'); print(c.fetchone()[0])";
  const dsn = `postgresql://${one.user}:${one.password}@${one.host}:${one.port}/${one.database}`;
  const { stdout, stderr } = await start(python, ["-c", query, dsn]).done;
  assert.equal(stdout.trim(), one.database, stderr);
});
