/**
 * A real deployment: `PROJECT_ID` names a project of Google Cloud that a dbt-server was deployed into as
 * docs/deploy-google-cloud.md says, and gcloud, or what stands for it, is logged in as somebody who may use it.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { cli, until } from "../harness.ts";
import { requirePart } from "../require.ts";
import { projectYaml, writeFiles } from "./written-project.ts";

const NEEDED = [
  "PROJECT_ID",
  "LOCATION",
  "DBT_SERVER_URL",
  "GOOGLE_APPLICATION_CREDENTIALS",
  "CLOUDSDK_CONFIG",
  "PATH",
];
const DATASET = "dbt_remote_external";

interface RunOfList {
  readonly id: string;
  readonly status: string;
  readonly command: readonly string[];
}

test("a deployed server is found, and runs dbt on BigQuery", { timeout: 1_800_000 }, async (context) => {
  const projectId = process.env["PROJECT_ID"] ?? "";
  if (!requirePart(context, "PROJECT_ID", projectId !== "", "it names a project with a deployed dbt-server")) return;
  const project = writeFiles({
    "dbt_project.yml": projectYaml("models: {p: {+materialized: table}}\n"),
    "profiles.yml": `p: {target: dev, outputs: {dev: {type: bigquery, method: oauth, project: ${projectId}, dataset: ${DATASET}, threads: 4}}}\n`,
    "seeds/people.csv": "id,name\n1,Ada\n2,Grace\n",
    "models/names.sql": "select name from {{ ref('people') }}",
    "models/names.yml": "models: [{name: names, columns: [{name: name, data_tests: [not_null, unique]}]}]\n",
    "macros/clean_up.sql":
      "{% macro clean_up() %}{% do adapter.drop_schema(api.Relation.create(database=target.project, schema=target.schema)) %}{% endmacro %}",
    "macros/wait.sql":
      "{% macro wait() %}{% for i in range(100) %}{% do run_query('select count(*) from unnest(generate_array(1, 1000000))') %}{% endfor %}{% endmacro %}",
  });
  const env = Object.fromEntries(NEEDED.map((name) => [name, process.env[name]]));
  const config = process.env["CLOUDSDK_CONFIG"] ?? join(homedir(), ".config", "gcloud");
  const options = { cwd: project, env: { ...env, CLOUDSDK_CONFIG: config }, timeoutMs: 600_000 };
  const remote = (...args: string[]) => cli([...args, "--trust-server"], options);
  const runs = async (): Promise<readonly RunOfList[]> => {
    const { stdout, stderr, code } = await remote("runs", "--json");
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as readonly RunOfList[];
  };
  try {
    await context.test("build, its log and its artifacts", async () => {
      const built = await remote("build");
      assert.equal(built.code, 0, built.stdout + built.stderr);
      assert.match(built.stdout, /PASS=4/);
      assert.match(readFileSync(join(project, "target", "run_results.json"), "utf8"), /"status": ?"success"/);
      const [newest] = await runs();
      assert.deepEqual([newest?.command[0], newest?.status], ["build", "success"]);
      const log = await remote("logs", newest?.id ?? "");
      assert.match(log.stdout, /PASS=4/);
    });
    await context.test("a run that is cancelled ends, and its log with it", async () => {
      const detached = await remote("run-operation", "wait", "--detach");
      const id = detached.stdout.trim();
      const statusOf = async () => (await runs()).find((run) => run.id === id)?.status;
      await until("the run to begin", async () => (await statusOf()) === "running", 300_000);
      assert.equal((await remote("cancel", id)).code, 0);
      await until("its end", async () => (await statusOf()) === "cancelled", 120_000);
    });
    await context.test("a failure is dbt's own", async () => {
      const failed = await remote("run-operation", "nothing_of_this_name");
      assert.notEqual(failed.code, 0);
      assert.match(failed.stdout + failed.stderr, /nothing_of_this_name/);
    });
  } finally {
    await remote("run-operation", "clean_up");
  }
});
