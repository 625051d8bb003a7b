import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { root, start, startServer, tempFolder } from "../harness.ts";
import { pythonVenv } from "../python-venv.ts";
import { requirePart } from "../require.ts";
import { newestRun, tokenOf } from "./gated.ts";
import { projectYaml, writeFiles } from "./written-project.ts";

const PACKAGES = ["gcp-dbt-remote==0.4.6", "dbt-duckdb~=1.7.0"];

const PROFILE = `p:
  target: dev
  outputs:
    dev: {type: duckdb, path: p.duckdb, threads: 1}
    prod: {type: duckdb, path: p.duckdb, schema: prod, threads: 1}
`;

test("the older client from PyPI, unmodified, runs, streams and reads logs", { timeout: 900_000 }, async (context) => {
  const venv = pythonVenv({ name: "older-client", packages: PACKAGES, pythons: ["python3.11", "python3.10"] });
  if ("missing" in venv) {
    requirePart(context, "gcp-dbt-remote", false, venv.missing);
    return;
  }
  const server = await startServer();
  const home = tempFolder("older-home");
  const project = writeFiles({
    "dbt_project.yml": projectYaml("models: {p: {+materialized: table}}\n"),
    "profiles.yml": PROFILE,
    "seeds/people.csv": "id,name\n1,Ada\n2,Grace\n",
    "models/names.sql": "select name, {{ var('cutoff', 1) }} as cutoff from {{ ref('people') }}",
    "models/broken.sql": "select nothing from nowhere",
    "models/names.yml": "version: 2\nmodels: [{name: names, columns: [{name: name, tests: [not_null]}]}]\n",
  });
  const client = (...args: string[]) =>
    start(venv.python, [join(root, "test/e2e/older-client.py"), ...args], {
      cwd: project,
      home,
      env: { TEST_TOKEN: tokenOf(server), DBT_SERVER_URL: `${server.url}/` },
    }).done;
  try {
    await context.test("seed, then run with --vars and --target", async () => {
      const seeded = await client("seed", "--seeds-path", "seeds");
      assert.equal(seeded.code, 0, seeded.stderr + seeded.stdout);
      assert.match(seeded.stdout, /\[dbt\] Done\. PASS=1 .*\n[\s\S]*\[job\] END JOB/);
      const vars = JSON.stringify({ cutoff: 5, text: "two words" });
      const run = await client(
        "run",
        "--seeds-path",
        "seeds",
        "--target",
        "prod",
        "--vars",
        vars,
        "--select",
        "people+",
      );
      assert.match(run.stdout, /\[dbt\] Done\./, run.stderr + run.stdout);
      const { command } = await newestRun(server);
      const own = "--no-send-anonymous-usage-stats";
      assert.deepEqual(command, ["run", own, "--target", "prod", "--vars", vars, "--select", "people+"]);
    });
    await context.test("a run that fails, and its log read again", async () => {
      const failed = await client("build", "--seeds-path", "seeds");
      assert.match(failed.stdout, /ERROR[\s\S]*nowhere[\s\S]*END JOB/);
      const { id, status } = await newestRun(server);
      assert.equal(status, "failed");
      const logs = await client("logs", id);
      assert.equal(logs.code, 0, logs.stderr);
      assert.match(logs.stdout, /^\S+Z\tERROR\t\[dbt\] .*$/m);
      assert.match(logs.stdout, /\tINFO\t\[job\] END JOB$/m);
    });
    await context.test("what can't be done is said", async () => {
      const scheduled = await client("run", "--seeds-path", "seeds", "--schedule", "0 0 * * *");
      assert.notEqual(scheduled.code, 0);
      assert.match(scheduled.stderr, /Schedules are not available on this server yet/);
      assert.equal((await client("schedules", "list")).code, 0);
    });
  } finally {
    await server.stop();
  }
});
