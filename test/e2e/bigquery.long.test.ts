/** dbt-bigquery as far as it can be tried without a warehouse: what it imports, parses, lists, compiles, and how it says no. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bigqueryVenv } from "../bigquery-venv.ts";
import { type CliOptions, cli, start, startServer, type TestServer, tempFolder } from "../harness.ts";
import { requirePart } from "../require.ts";
import { newestRun } from "./gated.ts";
import { projectYaml, writeFiles } from "./written-project.ts";

const venv = bigqueryVenv();

const PROFILE = `p:
  target: dev
  outputs:
    dev: {type: bigquery, method: oauth, project: my-project, dataset: shop, location: EU, threads: 2, job_retries: 0}
`;
const FILES = {
  "dbt_project.yml": projectYaml(),
  "profiles.yml": PROFILE,
  "seeds/people.csv": "id,name\n1,Ada\n",
  "models/sources.yml":
    "sources: [{name: raw, database: other-project, schema: events, tables: [{name: clicks}]}]\nmodels: [{name: names, columns: [{name: id, data_tests: [not_null]}]}]\n",
  "models/names.sql": `{{ config(materialized='incremental', unique_key='id', incremental_strategy='merge',
      partition_by={'field': 'day', 'data_type': 'date'}, cluster_by=['id'], labels={'team': 'data'}) }}
select p.id, p.name, current_date as day from {{ ref('people') }} p join {{ source('raw', 'clicks') }} using (id)`,
};

let server: TestServer | undefined;
before(async () => {
  if ("python" in venv) server = await startServer({ args: ["--python", venv.python] });
});
after(() => server?.stop());

test("dbt-bigquery through a server", { timeout: 900_000 }, async (context) => {
  if ("missing" in venv || server === undefined) {
    requirePart(context, "dbt-bigquery", false, "missing" in venv ? venv.missing : "no server");
    return;
  }
  const project = writeFiles(FILES);
  // Nothing of the developer's own account is used, and no metadata server is looked for.
  const env = { NO_GCE_CHECK: "true", GOOGLE_CLOUD_PROJECT: "my-project" };
  const send = ["--env", "NO_GCE_CHECK", "--env", "GOOGLE_CLOUD_PROJECT"];
  const options: CliOptions = { server, cwd: project, env };
  const remote = (...args: string[]) => cli([...args, ...send], options);

  await context.test("it is imported, with gRPC", () => {
    const code = "import dbt.adapters.bigquery, google.cloud.dataproc_v1, grpc; print('ok')";
    const { stdout, stderr } = spawnSync(venv.python, ["-c", code], { encoding: "utf8" });
    assert.equal(stdout, "ok\n", stderr);
  });
  await context.test("parse, ls", async () => {
    const parsed = await remote("parse");
    assert.equal(parsed.code, 0, parsed.stdout + parsed.stderr);
    assert.match(parsed.stdout, /Registered adapter: bigquery=1\.11/);
    const listed = await remote("ls", "--output", "name");
    assert.match(listed.stdout, /^names\npeople\nraw\.clicks\nnot_null_names_id$/m);
    assert.equal((await newestRun(server as TestServer)).warehouseFile, null);
  });
  await context.test("compile without introspection, as local dbt does it", async () => {
    // dbt makes a client before it compiles, which takes credentials of some kind and asks nobody.
    const withToken = { ...FILES, "profiles.yml": PROFILE.replace("oauth", "oauth-secrets, token: of-no-use") };
    writeFiles(withToken, project);
    const flags = ["compile", "--no-introspect", "--no-populate-cache", "-s", "names"];
    const compiled = await remote(...flags);
    assert.equal(compiled.code, 0, compiled.stdout + compiled.stderr);
    const path = "target/compiled/p/models/names.sql";
    const text = readFileSync(join(project, path), "utf8");
    assert.match(text, /from `my-project`\.`shop`\.`people` p join `other-project`\.`events`\.`clicks`/);
    const local = writeFiles(withToken);
    const dbt = join(venv.python, "..", "dbt");
    const done = await start(dbt, flags, { cwd: local, env, home: tempFolder("home") }).done;
    assert.equal(done.code, 0, done.stdout);
    assert.equal(text, readFileSync(join(local, path), "utf8"));
    writeFiles(FILES, project);
  });
  await context.test("without credentials dbt says so, and so does the run", async () => {
    const run = await remote("run", "-s", "names");
    assert.equal(run.code, 2, run.stdout + run.stderr);
    assert.match(run.stdout, /default credentials were not found/i);
    const { status, reason, exitCode } = await newestRun(server as TestServer);
    assert.deepEqual([status, reason, exitCode], ["failed", "dbt_failed", 2]);
    assert.match((await remote("debug")).stdout, /adapter type: bigquery[\s\S]*credentials/);
  });
  await context.test("a keyfile that is only on the user's machine is said before anything runs", async () => {
    const keyed = writeFiles({
      ...FILES,
      "profiles.yml": PROFILE.replace("method: oauth", "method: service-account, keyfile: /home/ada/key.json"),
    });
    assert.ok(!existsSync("/home/ada/key.json"));
    const run = await cli(["parse", ...send], { ...options, cwd: keyed });
    assert.match(run.stderr, /key\.json/);
  });
});
