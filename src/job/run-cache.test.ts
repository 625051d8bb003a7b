import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gitPackage, packageFiles } from "../../test/e2e/package-hub.ts";
import { tempFolder } from "../../test/folders.ts";
import { createJobHarness, filesHolding, makeProject, PROFILE } from "../../test/job-harness.ts";
import { python } from "../../test/programs.ts";
import { parseDbtArgv } from "../core/dbt-argv.ts";
import { openLocalState } from "../state/local/open.ts";
import { type CacheIdentityParams, cacheIdentity } from "./cache-identity.ts";
import { createRunCache } from "./run-cache.ts";
import { openWorkspace } from "./workspace.ts";

const SECRET = "planted-secret-of-a-profile";

test("a new container takes packages and parse state of an earlier one, and dbt reads only what changed", {
  timeout: 240_000,
}, async () => {
  const harness = await createJobHarness();
  try {
    const local = Object.entries(packageFiles("nearby")).map(([path, text]) => [`nearby/${path}`, text]);
    const project = await makeProject({
      ...Object.fromEntries(local),
      "dbt_project.yml": 'name: cached\nversion: "1.0"\nprofile: tiny\nflags:\n  send_anonymous_usage_stats: false\n',
      "packages.yml": `packages:\n  - git: ${gitPackage("faraway")}\n    revision: "1.0.0"\n  - local: nearby\n`,
      "models/one.sql": "select 1 as id",
      "models/two.sql": "select * from {{ ref('one') }}",
      "models/schema.yml": "models:\n  - name: one\n    columns: [{name: id, data_tests: [unique]}]\n",
      "models/more.yml": "models:\n  - name: two\n    description: the other one\n",
    });
    const job = { env: { DBT_JOB_FRESH: "1" } };
    const envelope = { profiles: PROFILE, env: { DBT_ENV_SECRET_GIT: SECRET, FLAVOUR: "plain" } };
    const start = async (args: string[]) => {
      const run = await harness.run({ project, args, envelope }, job);
      assert.equal(run.status, "success", await harness.text(run.id));
      return { log: await harness.text(run.id), dbtLog: await harness.artifact(run.id, "logs/dbt.log") };
    };
    const first = await start(["parse"]);
    assert.match(first.log, /dbt deps: 0 of 2 packages are installed/);
    assert.match(first.dbtLog, /Unable to do partial parsing because saved manifest not found/);

    const workspaces = join(harness.dataDir, "workspaces");
    rmSync(workspaces, { recursive: true });
    writeFileSync(join(project, "models/two.sql"), "select id, 2 as two from {{ ref('one') }}");
    const second = await start(["parse"]);
    assert.doesNotMatch(second.log, /deps/);
    assert.match(second.dbtLog, /Partial parsing enabled: 0 files deleted, 0 files added, 1 files changed\./);
    const packages = join(harness.projectIn(1), "dbt_packages");
    assert.ok(existsSync(join(packages, "faraway/macros/hello.sql")));
    assert.ok(lstatSync(join(packages, "nearby")).isSymbolicLink());
    assert.equal(readlinkSync(join(packages, "nearby")), join(harness.projectIn(1), "nearby"));

    // Other vars: dbt would parse everything again, so there is nothing to fetch; the first state is kept beside it.
    rmSync(workspaces, { recursive: true });
    const third = await start(["parse", "--vars", "{a: 1}"]);
    assert.match(third.dbtLog, /Unable to do partial parsing because saved manifest not found/);
    const kept = await harness.state.blobs.list("parse-states/");
    assert.equal(kept.length, 2);
    assert.equal((await harness.state.blobs.list("packages/")).length, 1);
    assert.deepEqual(filesHolding(harness.dataDir, SECRET), []);
  } finally {
    await harness.close();
  }
});

test("what decides on a cached state holds no secret, and nothing that is not the run's", () => {
  const base: CacheIdentityParams = {
    parsed: parseDbtArgv(["run", "--vars", `{token: ${SECRET}}`, "-s", "x"]),
    envelope: { env: { B: SECRET, A: "1" }, dotenv: {} },
    profiles: `p: {outputs: {dev: {password: ${SECRET}}}}`,
    secrets: [SECRET],
    python,
    project: "/data/run/tree",
  };
  const identity = cacheIdentity(base);
  assert.ok(!JSON.stringify(identity).includes(SECRET));
  assert.match(JSON.stringify(identity.engine), /dbt_core-1\.11/);
  const parsed = parseDbtArgv(["build", "-s", "y", "--vars", "{token: other-secret}"]);
  const same = cacheIdentity({ ...base, parsed, secrets: [SECRET, "other-secret"] });
  assert.deepEqual(same, identity);
  const target = cacheIdentity({ ...base, parsed: parseDbtArgv(["run", "--target", "prod"]) });
  assert.notDeepEqual(target.settings, identity.settings);
  assert.notDeepEqual(cacheIdentity({ ...base, project: "/elsewhere" }).settings, identity.settings);
  const environment = cacheIdentity({ ...base, envelope: { env: { A: "2" }, dotenv: {} } });
  assert.deepEqual(environment.settings, identity.settings);
  assert.notDeepEqual(environment.environment, identity.environment);
});

test("packages of the public hub are shared, others stay in their workspace, and another hub's are others", async () => {
  const state = await openLocalState({ dataDir: tempFolder("data"), now: Date.now });
  const identity = { engine: [], settings: [], vars: null, environment: [] };
  const opened = (workspaceKey: string, list: string, env: Record<string, string> = {}, secrets: string[] = []) => {
    const run = { workspace: workspaceKey, projectDir: ".", profileFrom: "none" } as const;
    const workspace = openWorkspace({ dataDir: tempFolder("container"), run, root: 1, serverProfiles: undefined });
    writeFileSync(join(workspace.project, "packages.yml"), list);
    const packagesDir = join(workspace.project, "dbt_packages");
    const cache = createRunCache({ state, now: Date.now, run, workspace, identity, env, secrets });
    return { packagesDir, packages: cache.packages(packagesDir) };
  };
  const install = async (
    { packagesDir, packages }: ReturnType<typeof opened>,
    text = "{% macro m() %}{% endmacro %}",
  ) => {
    assert.equal(await packages.restore(), false);
    mkdirSync(join(packagesDir, "p/macros"), { recursive: true });
    writeFileSync(join(packagesDir, "p/macros/m.sql"), text);
    writeFileSync(join(packagesDir, "p/run.sh"), "exit", { mode: 0o755 });
    await packages.keep();
  };
  try {
    const hub = "packages: [{package: a/p, version: 1.0.0}]\n";
    await install(opened("one", hub));
    const { packagesDir, packages } = opened("two", hub);
    assert.equal(await packages.restore(), true);
    assert.match(readFileSync(join(packagesDir, "p/macros/m.sql"), "utf8"), /macro m/);
    assert.notEqual(statSync(join(packagesDir, "p/run.sh")).mode & 0o100, 0);
    assert.equal(await opened("two", hub, { DBT_PACKAGE_HUB_URL: "http://127.0.0.1:1" }).packages.restore(), false);
    assert.equal(await opened("two", hub.replace("1.0.0", "1.0.1")).packages.restore(), false);

    const git = 'packages: [{git: \'https://{{ env_var("TOKEN") }}@h/{{ env_var("NAME") }}\'}]\n';
    await install(opened("one", git, { TOKEN: SECRET, NAME: "p" }, [SECRET]));
    const another = "another-secret";
    assert.equal(await opened("two", git, { TOKEN: SECRET, NAME: "p" }, [SECRET]).packages.restore(), false);
    assert.equal(await opened("one", git, { TOKEN: another, NAME: "p" }, [another]).packages.restore(), true);
    assert.equal(await opened("one", git, { TOKEN: SECRET, NAME: "q" }, [SECRET]).packages.restore(), false);

    // What would show a secret to the next run is not kept.
    const local = "packages: [{tarball: 'https://h/p.tgz', name: p}]\n";
    await install(opened("one", local, {}, [SECRET]), `-- ${SECRET}`);
    assert.equal(await opened("one", local, {}, [SECRET]).packages.restore(), false);
  } finally {
    await state.close();
  }
});
