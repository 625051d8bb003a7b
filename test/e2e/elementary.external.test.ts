/**
 * Elementary's own edr and dbt package. No package index carries the latter: `ELEMENTARY_HUB_URL` names a hub that has
 * `elementary-data/elementary` and what it and edr need, such as https://hub.getdbt.com/.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cli, start, startServer, tempFolder } from "../harness.ts";
import { pythonVenv } from "../python-venv.ts";
import { requirePart } from "../require.ts";
import { DUCKDB_PROFILE, projectYaml, writeFiles } from "./written-project.ts";

const VERSION = "0.25.1";
const PACKAGES = ["dbt-core~=1.11.0", "dbt-duckdb~=1.9", `elementary-data[duckdb]==${VERSION}`];
const SETUP = "from elementary.monitor.dbt_init import DBTInit; DBTInit().setup_internal_dbt_packages()";

interface Report {
  readonly invocation: { readonly invocation_id: string };
  readonly test_results_totals: unknown;
}

test("edr's report of a build that fails", { timeout: 900_000 }, async (context) => {
  const hub = process.env["ELEMENTARY_HUB_URL"] ?? "";
  if (!requirePart(context, "ELEMENTARY_HUB_URL", hub !== "", "it names a hub with Elementary's dbt packages")) return;
  const pythons = ["python3.12", "python3.11", "python3.10"];
  const venv = pythonVenv({ name: "elementary", packages: PACKAGES, pythons });
  if ("missing" in venv) {
    requirePart(context, "elementary-data", false, venv.missing);
    return;
  }
  const env = { DBT_PACKAGE_HUB_URL: hub };
  const home = tempFolder("home");
  const setUp = await start(venv.python, ["-c", SETUP], { home, env, timeoutMs: 300_000 }).done;
  assert.equal(setUp.code, 0, setUp.stderr);
  const project = writeFiles({
    "dbt_project.yml": projectYaml("models: {elementary: {+schema: elementary}}\n"),
    "packages.yml": `packages: [{package: elementary-data/elementary, version: ${VERSION}}]\n`,
    "profiles.yml": DUCKDB_PROFILE,
    "models/names.sql": "select 1 as id union all select 1",
    "models/names.yml": "models: [{name: names, columns: [{name: id, data_tests: [unique]}]}]\n",
  });
  const server = await startServer({ home, args: ["--python", venv.python] });
  try {
    const options = { server, home, cwd: project, env, timeoutMs: 600_000 };
    const deps = await cli(["deps"], options);
    assert.equal(deps.code, 0, deps.stdout + deps.stderr);
    const built = await cli(["build", "--elementary"], options);
    assert.equal(built.code, 1, built.stdout + built.stderr);
    assert.match(built.stderr, /Elementary report: http:\S+elementary_report\.html$/m);
    const read = (name: string): string => readFileSync(join(project, "target", name), "utf8");
    const { metadata } = JSON.parse(read("run_results.json")) as { metadata: { invocation_id: string } };
    const output = JSON.parse(read("elementary_output.json")) as Report;
    assert.equal(output.invocation.invocation_id, metadata.invocation_id);
    const encoded = /atob\(['"]([^'"]+)['"]\)/.exec(read("elementary_report.html"))?.[1] ?? "";
    const page = JSON.parse(Buffer.from(encoded, "base64").toString()) as Report;
    assert.equal(page.invocation.invocation_id, metadata.invocation_id);
    assert.match(JSON.stringify(page), /unique_names_id/);
    assert.match(JSON.stringify(page.test_results_totals), /"failures": ?1|"fail(ed|ures)?": ?1/);
  } finally {
    await server.stop();
  }
});
