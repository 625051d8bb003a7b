import assert from "node:assert/strict";
import { cpSync, existsSync, lstatSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { RunView } from "../../src/api/schemas/runs.ts";
import {
  type CliOptions,
  cli,
  KEPT_WARM,
  localDbt,
  type Result,
  startServer,
  type TestServer,
  tempFolder,
} from "../harness.ts";
import { gitPackage, type PackageHub, packageFiles, startHub } from "./package-hub.ts";
import { writtenAlike } from "./places.ts";
import { DUCKDB_PROFILE, filesIn, projectYaml, writeFiles } from "./written-project.ts";

let server: TestServer;
let hub: PackageHub;
before(async () => {
  [server, hub] = await Promise.all([startServer({ env: KEPT_WARM }), startHub()]);
});
after(async () => {
  hub.close();
  await server.stop();
});

/** Runs dbt-remote and expects this exit code. */
async function remote(args: readonly string[], options: CliOptions, code = 0): Promise<Result> {
  const result = await cli(args, { server, ...options });
  assert.equal(result.code, code, `${args.join(" ")}\n${result.stdout}${result.stderr}`);
  return result;
}

test("what dbt writes lands where local dbt would have put it: flags, from another folder", () =>
  writtenAlike(server, {
    what: "flags",
    cwd: "work",
    args: "--project-dir ../app --profiles-dir ../conf --target-path made/target --log-path logs-here".split(" "),
    check: (folder) => {
      assert.match(readFileSync(join(folder, "work/logs-here/dbt.log"), "utf8"), /^before\n.*\n.*Running with dbt/s);
      assert.ok(existsSync(join(folder, "app/made/target/manifest.json")));
    },
  }));

const SOURCE = `
sources:
  - name: raw
    schema: main
    config: {loaded_at_field: "cast(made_at as timestamp)", freshness: {warn_after: {count: 100000, period: day}}}
    tables: [{name: people}]
`;

/** A project with a table that is a source, and models on top of each other. */
function stateProject(): { readonly folder: string; readonly project: string } {
  const folder = writeFiles({
    "app/dbt_project.yml": projectYaml(),
    "app/profiles.yml": DUCKDB_PROFILE,
    "app/seeds/people.csv": "id,made_at\n1,2026-01-01\n",
    "app/models/sources.yml": SOURCE,
    "app/models/one.sql": "select id from {{ ref('people') }}",
    "app/models/two.sql": "select id from {{ ref('one') }}",
    "app/models/three.sql": "select id from {{ ref('two') }}",
  });
  return { folder, project: join(folder, "app") };
}

const edit = (project: string, model: string, text: string) =>
  writeFileSync(join(project, "models", `${model}.sql`), text);

/** What a run_results.json says: node → status. */
function results(target: string): Record<string, string> {
  const { results: all } = JSON.parse(readFileSync(join(target, "run_results.json"), "utf8")) as {
    results: { unique_id: string; status: string }[];
  };
  return Object.fromEntries(all.map(({ unique_id, status }) => [unique_id.split(".").at(-1) ?? "", status]));
}

test("earlier artifacts as state: local folders, the latest run, a run; freshness writes where it is told", async () => {
  const { folder, project } = stateProject();
  const options = { cwd: project };
  const below = { cwd: join(project, "models"), env: { DBT_PROFILES_DIR: project } };
  await remote(["build"], options);
  const [built] = JSON.parse((await remote(["runs", "--json", "--limit", "1"], options)).stdout) as RunView[];
  cpSync(join(project, "target"), join(project, "state", "in"), { recursive: true });
  cpSync(join(project, "target"), join(folder, "state-out"), { recursive: true });
  rmSync(join(project, "target"), { recursive: true });

  edit(project, "two", "select id, 2 as two from {{ ref('one') }}");
  const select = ["-s", "state:modified", "--output", "name", "--quiet"];
  const latest = await remote(["ls", ...select, "--state", "run:latest"], options);
  assert.deepEqual(
    [latest.stdout, latest.stderr],
    ["two\n", ""],
    "with --quiet there are no lines of dbt-remote's own",
  );
  const named = await remote(["ls", ...select], { ...options, env: { DBT_STATE: `run:${built?.id}` } });
  assert.equal(named.stdout, "two\n");

  // Relative to the project, whatever the current folder; deferred to what lies outside.
  const defer = ["--defer", "--favor-state", "--defer-state", join(folder, "state-out")];
  await remote(["compile", "-s", "state:modified", "--state", "state/in", ...defer], below);
  assert.match(readFileSync(join(project, "target/compiled/p/models/two.sql"), "utf8"), /from "p"\."main"\."one"/);
  assert.ok(!existsSync(join(project, "target/compiled/p/models/one.sql")));

  await remote(["source", "freshness", "-o", "../fresh/out.json"], options);
  assert.ok(existsSync(join(folder, "fresh/out.json")));
  assert.ok(!filesIn(folder).some((file) => file.endsWith("partial_parse.msgpack")));
});

test("retry takes the local run_results.json, else the workspace's, and finds the former --state again", async () => {
  const { project } = stateProject();
  const options = { cwd: project };
  await remote(["seed"], options);
  cpSync(join(project, "target"), join(project, "before"), { recursive: true });
  edit(project, "one", "select id from nowhere");
  await remote(["run", "-s", "state:modified+", "--state", "before"], options, 1);
  assert.deepEqual(results(join(project, "target")), { one: "error", two: "skipped", three: "skipped" });

  rmSync(join(project, "target"), { recursive: true });
  edit(project, "one", "select id from {{ ref('people') }}");
  edit(project, "three", "select id from nowhere");
  await remote(["retry"], options, 1);
  assert.deepEqual(results(join(project, "target")), { one: "success", two: "success", three: "error" });

  const file = join(project, "target", "run_results.json");
  writeFileSync(file, readFileSync(file, "utf8").replace(/"status": ?"success"/, '"status": "error"'));
  edit(project, "three", "select id from {{ ref('two') }}");
  await remote(["retry"], options);
  assert.equal(Object.keys(results(join(project, "target"))).length, 2);
});

test("deps: packages of every kind come back as local dbt leaves them; the folder is replaced as a whole", async () => {
  const write = () =>
    writeFiles({
      "app/dbt_project.yml": projectYaml(),
      "app/profiles.yml": DUCKDB_PROFILE,
      "app/packages.yml": JSON.stringify({
        packages: [
          { package: "acme/hubbed", version: "1.0.0" },
          { tarball: hub.tarballUrl, name: "packed" },
          { git: repository, revision: "1.0.0" },
          { local: "libs/inside" },
          { local: "../outside" },
        ],
      }),
      "app/macros/all.sql":
        "{% macro all() %}{{ p.one() }}{% do hubbed.hello_hubbed() %}{% do packed.hello_packed() %}{% do cloned.hello_cloned() %}{% do inside.hello_inside() %}{% do outside.hello_outside() %}{% endmacro %}{% macro one() %}{% endmacro %}",
      ...Object.fromEntries(
        Object.entries(packageFiles("inside")).map(([path, text]) => [`app/libs/inside/${path}`, text]),
      ),
      ...Object.fromEntries(Object.entries(packageFiles("outside")).map(([path, text]) => [`outside/${path}`, text])),
      "app/dbt_packages/stale/dbt_project.yml": "name: stale\n",
    });
  const repository = gitPackage("cloned");
  const env = { DBT_PACKAGE_HUB_URL: hub.url };
  const [here, there] = [write(), write()];
  const local = await localDbt(["deps"], { cwd: join(here, "app"), env });
  assert.equal(local.code, 0, local.stdout);
  const options = { cwd: join(there, "app"), env };
  const done = await remote(["deps"], options);
  assert.match(done.stdout, /Installing acme\/hubbed/);
  const seen = (folder: string) =>
    filesIn(folder)
      .filter((file) => !/\/\.git\/|\.user\.yml$|\/logs\//.test(file))
      .map((file) => `${file}${lstatSync(join(folder, file)).isSymbolicLink() ? " (link)" : ""}`);
  assert.deepEqual(
    seen(there),
    seen(here).filter((file) => !file.includes("/stale/")),
  );
  assert.equal(
    readFileSync(join(there, "app/package-lock.yml"), "utf8"),
    readFileSync(join(here, "app/package-lock.yml"), "utf8"),
  );

  // Where the packages are not sent, the job installs them; what dbt prints of that is the job's own lines.
  rmSync(join(there, "app/dbt_packages"), { recursive: true });
  const fresh = { ...options, env: { ...env, DBT_REMOTE_WORKSPACE: "fresh" } };
  const used = await remote(["run-operation", "all"], fresh);
  assert.deepEqual(
    used.stdout.match(/^hello from .*$/gm),
    ["hubbed", "packed", "cloned", "inside", "outside"].map((name) => `hello from ${name}`),
  );
  assert.match(used.stderr, /^dbt deps: 0 of 5 packages are installed$/m);
  assert.match(used.stderr, /Installing acme\/hubbed/);
  assert.doesNotMatch(used.stdout, /Installing/);
  assert.ok(!existsSync(join(there, "app/dbt_packages")), "only `deps` itself brings packages home");

  await remote(["clean"], options);
  assert.ok(!existsSync(join(there, "app/target")));
  assert.ok(existsSync(join(there, "outside/dbt_project.yml")) && existsSync(join(there, "app/libs/inside")));
});

test("a git credential that is missing is one line, and nothing waits for it", async () => {
  const project = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": DUCKDB_PROFILE,
    "packages.yml": JSON.stringify({ packages: [{ git: hub.lockedUrl, revision: "main" }] }),
  });
  const failed = await cli(["parse"], { server, cwd: project, home: tempFolder("home") });
  assert.equal(failed.code, 2, failed.stdout + failed.stderr);
  const line = `git has no credential for ${new URL(hub.lockedUrl).origin}`;
  assert.equal(
    failed.stderr.split("\n").filter((each) => each.includes("git has no credential")).length,
    1,
    failed.stderr,
  );
  assert.ok(failed.stderr.includes(line), failed.stderr);
  assert.match(failed.stderr, /--send-secret NAME/);
});
