import assert from "node:assert/strict";
import { cpSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type CliOptions, cli, localDbt, type Result, startServer, type TestServer, tempFolder } from "../harness.ts";
import { type PackageHub, startHub } from "./package-hub.ts";
import { writtenAlike } from "./places.ts";
import { DUCKDB_PROFILE, filesIn, projectYaml, writeFiles } from "./written-project.ts";

let server: TestServer;
let hub: PackageHub;
before(async () => {
  [server, hub] = await Promise.all([startServer(), startHub()]);
});
after(async () => {
  hub.close();
  await server.stop();
});

async function remote(args: readonly string[], options: CliOptions, code = 0): Promise<Result> {
  const result = await cli(args, { server, ...options });
  assert.equal(result.code, code, `${args.join(" ")}\n${result.stdout}${result.stderr}`);
  return result;
}

test("variables, from below the project, with the profile in ~/.dbt, target and log outside", () =>
  writtenAlike(server, {
    what: "variables",
    cwd: "app/models",
    profilesAt: "home",
    env: (folder) => ({ DBT_TARGET_PATH: join(folder, "outside/target"), DBT_ENGINE_LOG_PATH: "../../logs-there" }),
    check: (folder) => {
      assert.ok(existsSync(join(folder, "outside/target/manifest.json")));
      assert.ok(existsSync(join(folder, "logs-there/dbt.log")));
    },
  }));

test("dbt_project.yml puts the target folder elsewhere; project and profiles are named by variables", () =>
  writtenAlike(server, {
    what: "dbt_project.yml",
    cwd: "work",
    yaml: `target-path: "../built/{{ env_var('STAGE', 'dev') }}"\nlog-path: own-logs\n`,
    env: () => ({ DBT_PROJECT_DIR: "../app", DBT_ENGINE_PROFILES_DIR: "../conf", STAGE: "test" }),
    check: (folder) => assert.ok(existsSync(join(folder, "built/test/manifest.json"))),
  }));

test("a folder inside the project wins over a variable", () =>
  writtenAlike(server, {
    what: "inside",
    cwd: "app",
    profilesAt: "home",
    args: ["--target-path", "models/../out", "--log-path", "../there/logs-here"],
    env: () => ({ DBT_TARGET_PATH: "not-here" }),
  }));

test("a parse state that is named: the workspace's own stands for one that is there, dbt refuses one that is not", async () => {
  const project = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": DUCKDB_PROFILE,
    "models/one.sql": "select 1 as id",
    "seeds/people.csv": "id\n1\n",
  });
  const options = { cwd: project };
  const build = (file: string) => ["build", "--partial-parse-file-path", file];
  const refused = await remote(build("state/parsed.msgpack"), options, 2);
  assert.match(refused.stderr, /state\/parsed\.msgpack' does not exist/);
  assert.equal((await localDbt(["parse"], options)).code, 0);
  await remote(build("target/partial_parse.msgpack"), options);
  const file = join(project, "target", "partial_parse.msgpack");
  const size = readFileSync(file).length;
  const second = await remote(build(file), options);
  assert.doesNotMatch(second.stdout, /Unable to do partial parsing/);
  assert.equal(readFileSync(file).length, size, "the local one is left alone");
});

test("a target folder that is a link to another place is written through, and stays a link", async () => {
  const project = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": DUCKDB_PROFILE,
    "models/one.sql": "select 1 as id",
  });
  const elsewhere = tempFolder("disk");
  symlinkSync(elsewhere, join(project, "target"));
  await remote(["parse"], { cwd: project });
  assert.ok(lstatSync(join(project, "target")).isSymbolicLink());
  assert.ok(existsSync(join(elsewhere, "manifest.json")));
});

test("source freshness writes where it is told, from below the project", async () => {
  const project = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": DUCKDB_PROFILE,
    "models/one.sql": "select 1 as id",
  });
  const below = { cwd: join(project, "models"), env: { DBT_PROFILES_DIR: project } };
  await remote(["source", "freshness", "--output", "fresh.json", "--project-dir", ".."], below);
  assert.ok(existsSync(join(project, "models/fresh.json")));
});

test("local dbt's own failure is retried remotely; state lies beside the project; deferral to the latest run", async () => {
  const folder = writeFiles({
    "app/dbt_project.yml": projectYaml(),
    "app/profiles.yml": DUCKDB_PROFILE,
    "app/models/one.sql": "select 1 as id",
    "app/models/two.sql": "select id from nowhere",
  });
  const project = join(folder, "app");
  const options = { cwd: project };
  assert.equal((await localDbt(["run"], options)).code, 1);
  writeFileSync(join(project, "models/two.sql"), "select 2 as id");
  const retried = await remote(["retry"], options);
  assert.match(retried.stdout, /PASS=1 .*TOTAL=1/);

  cpSync(join(project, "target"), join(folder, "prev"), { recursive: true });
  writeFileSync(join(project, "models/two.sql"), "select 3 as id from {{ ref('one') }}");
  const defer = ["--defer", "--favor-state", "--defer-state", "run:latest"];
  await remote(["run", "-s", "state:modified", "--state", "../prev", ...defer], options, 1);
  assert.match(readFileSync(join(project, "target/compiled/p/models/two.sql"), "utf8"), /"p"\."main"\."one"/);
  const unknown = await remote(["ls", "--state", "run:99999"], options, 2);
  assert.match(unknown.stderr, /99999/);
});

test("deps --add-package, --lock and --upgrade change what they change locally", async () => {
  const write = () => writeFiles({ "dbt_project.yml": projectYaml(), "profiles.yml": DUCKDB_PROFILE });
  const [here, there] = [write(), write()];
  const env = { DBT_PACKAGE_HUB_URL: hub.url };
  for (const args of [
    ["deps", "--add-package", "acme/hubbed@1.0.0"],
    ["deps", "--lock"],
    ["deps", "--upgrade"],
  ]) {
    const local = await localDbt(args, { cwd: here, env });
    assert.equal(local.code, 0, local.stdout);
    await remote(args, { cwd: there, env });
    const seen = (folder: string) => filesIn(folder).filter((file) => !/\.user\.yml$/.test(file));
    assert.deepEqual(seen(there), seen(here), args.join(" "));
    for (const file of ["packages.yml", "package-lock.yml"])
      assert.equal(readFileSync(join(there, file), "utf8"), readFileSync(join(here, file), "utf8"), args.join(" "));
  }
});

test("deps into a folder outside of the project", async () => {
  const write = () =>
    writeFiles({
      "app/dbt_project.yml": projectYaml("packages-install-path: ../packages\n"),
      "app/profiles.yml": DUCKDB_PROFILE,
      "app/packages.yml": JSON.stringify({ packages: [{ package: "acme/hubbed", version: "1.0.0" }] }),
    });
  const [here, there] = [write(), write()];
  const env = { DBT_PACKAGE_HUB_URL: hub.url };
  const seen = (folder: string) => filesIn(folder).filter((file) => !/\.user\.yml$/.test(file));
  const local = await localDbt(["deps"], { cwd: join(here, "app"), env });
  assert.equal(local.code, 0, local.stdout);
  const options = { cwd: join(there, "app"), env };
  await remote(["deps"], options);
  assert.deepEqual(seen(there), seen(here));
  writeFiles({ "packages/hubbed/stale.txt": "" }, there);
  await remote(["deps"], options);
  assert.deepEqual(seen(there), seen(here));
  const used = await remote(["run-operation", "hello_hubbed"], options);
  assert.match(used.stdout, /hello from hubbed/);
  assert.doesNotMatch(used.stderr, /dbt deps/);
});

test("clean deletes what it deletes locally, and the next run starts from nothing", async () => {
  const write = () => {
    const folder = writeFiles({
      "app/dbt_project.yml": projectYaml("clean-targets: [target, dbt_packages, made, ../beside]\n"),
      "app/profiles.yml": DUCKDB_PROFILE,
      "app/models/one.sql": "select 1 as id",
      "app/made/x.txt": "",
      "app/kept/x.txt": "",
      "beside/x.txt": "",
    });
    mkdirSync(join(folder, "app", "target"));
    return folder;
  };
  const [here, there] = [write(), write()];
  const seen = (folder: string) => filesIn(folder).filter((file) => !/\.user\.yml$/.test(file));
  for (const args of [["clean"], ["clean", "--no-clean-project-files-only"]]) {
    const local = await localDbt(args, { cwd: join(here, "app") });
    const own = await cli(args, { server, cwd: join(there, "app") });
    assert.equal(own.code, local.code, own.stdout + own.stderr);
    assert.deepEqual(seen(there), seen(here), args.join(" "));
  }
  rmSync(there, { recursive: true });
});
