import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { type CliOptions, cli, root, startServer, type TestServer } from "../harness.ts";
import { python } from "../programs.ts";
import { newestRun, tokenOf } from "./gated.ts";
import { DUCKDB_PROFILE, projectYaml, writeFiles } from "./written-project.ts";

let server: TestServer;
before(async () => {
  // Without an edr of its own in .venv, the one on PATH is taken.
  const path = [join(root, "test/fixtures/elementary"), dirname(python), process.env["PATH"]].join(":");
  server = await startServer({ env: { PATH: path } });
});
after(() => server.stop());

/** A dbt package of Elementary's name, with the one table that matters here. */
const PACKAGE = {
  "elementary_package/dbt_project.yml": "name: elementary\n",
  "elementary_package/models/dbt_invocations.sql":
    "{{ config(materialized='table') }} select '{{ invocation_id }}' as invocation_id",
};
const PROJECT = {
  "dbt_project.yml": projectYaml("models: {elementary: {+schema: elementary}}\n"),
  "packages.yml": "packages: [{local: elementary_package}]\n",
  "profiles.yml": DUCKDB_PROFILE,
  "models/names.sql": "select 1 as id",
  "tests/never.sql": "select * from {{ ref('names') }}",
};
const SECRET = "hunter2-of-elementary";

async function remote(args: readonly string[], options: CliOptions) {
  return cli(args, { server, ...options });
}

test("the report of a build that failed is an artifact, and where it is is said", async () => {
  const project = writeFiles({ ...PACKAGE, ...PROJECT });
  const env = { DBT_ENV_SECRET_T: SECRET };
  const options = { cwd: project, env };
  const built = await remote(
    ["build", "--elementary", "--env", "DBT_ENV_SECRET_T", "--send-secret", "DBT_ENV_SECRET_T"],
    options,
  );
  assert.equal(built.code, 1, built.stdout + built.stderr);
  const { id, elementary } = await newestRun(server);
  assert.equal(elementary, true);
  const results = JSON.parse(readFileSync(join(project, "target/run_results.json"), "utf8")) as {
    metadata: { invocation_id: string };
  };
  const links = [...built.stderr.matchAll(/(http:\S+)$/gm)].map(([, link = ""]) => link);
  const artifact = `${server.url}/api/v1/runs/${id}/artifacts/target/elementary_`;
  assert.deepEqual(links, [`${artifact}report.html`, `${artifact}output.json`], built.stderr);
  const [page, data] = await Promise.all(
    links.map(async (link) => {
      const answer = await fetch(link, { headers: { authorization: `Bearer ${tokenOf(server)}` } });
      assert.equal(answer.status, 200);
      return answer.text();
    }),
  );
  const told = { invocation: { invocation_id: results.metadata.invocation_id }, models: {}, said: "*****" };
  assert.deepEqual(JSON.parse(data ?? ""), told);
  const encoded = /atob\('([^']+)'\)/.exec(page ?? "")?.[1] ?? "";
  assert.deepEqual(JSON.parse(Buffer.from(encoded, "base64").toString()), told);
  assert.equal(readFileSync(join(project, "target/elementary_report.html"), "utf8"), page);
});

test("what is missing is said with the cure, in one line", async () => {
  const { "packages.yml": _, ...bare } = PROJECT;
  const project = writeFiles({ ...bare, "dbt_remote.yml": "elementary: true\n" });
  const run = await remote(["run"], { cwd: project });
  assert.equal(run.code, 0, run.stderr);
  assert.match(
    run.stderr,
    /warning: No Elementary report: the project does not have the dbt package elementary\. Add `package: elementary-data\/elementary` to packages\.yml, then: dbt-remote deps && .*\.$/m,
  );
  const listed = await remote(["ls", "--elementary"], { cwd: project });
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stderr, /no Elementary report: dbt list leaves no results to report/);
});
