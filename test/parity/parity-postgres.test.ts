import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { postgresDatabase, postgresMissing } from "../postgres.ts";
import { requirePart } from "../require.ts";
import { POSTGRES } from "./corpus.ts";
import { parityTests } from "./sides.ts";

const missing = postgresMissing();

test("PostgreSQL is there", (context) => {
  requirePart(context, "PostgreSQL", missing === undefined, missing ?? "");
});

if (missing === undefined) {
  parityTests(POSTGRES, {
    fixture: "shop",
    profiles: async (folder) => {
      // each side has a database of its own with the same connection otherwise
      const { host, port, user, password, database } = await postgresDatabase();
      const output = { type: "postgres", host, port, user, password, dbname: database, schema: "shop", threads: 1 };
      const profiles = { shop: { target: "dev", outputs: { dev: output } } };
      writeFileSync(join(folder, "profiles.yml"), JSON.stringify(profiles));
    },
  });
}
