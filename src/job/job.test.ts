/** The job's program, end to end: real State, real dbt on DuckDB. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { copyProject } from "../../test/folders.ts";
import { createJobHarness, filesHolding, type JobHarness, makeProject, PROFILE } from "../../test/job-harness.ts";
import { until } from "../../test/programs.ts";
import type { Run } from "../core/run.ts";

const TIMEOUT_MS = 240_000;
const SECRET = 'hunter2-"quoted"-ünd-more';

const slowProject = () =>
  makeProject({
    "dbt_project.yml": 'name: slow\nversion: "1.0"\nprofile: tiny\nflags:\n  send_anonymous_usage_stats: false\n',
    "models/quick.sql": "select 1 as id",
    "models/slow.sql":
      "{{ config(materialized='table') }} select count(*) as n from range(1000000000000) t1 -- {{ ref('quick') }}",
  });

/** Starts a run whose second model never ends, and waits until dbt is at it. */
async function startSlow(harness: JobHarness) {
  const runId = await harness.post({ project: await slowProject(), args: ["run"] });
  const job = harness.startJob(runId);
  await until("the slow model's start", async () => (await harness.text(runId)).includes("2 of 2 START"), 120_000);
  return { runId, job };
}

/** What every run that dbt took part in leaves behind. */
async function checkEnd(harness: JobHarness, run: Run): Promise<void> {
  const log = await harness.text(run.id);
  assert.match(log, /\nEND JOB\n$/);
  assert.equal(Buffer.byteLength(log), run.logSize);
  const { seal } = await harness.state.logs.read(run.id, "log", 0, 1);
  assert.deepEqual(seal, { finalOffset: run.logSize, sha256: run.logSha256 });
  assert.notEqual((await harness.state.logs.read(run.id, "events", 0, 1)).seal, null);
  assert.equal(await harness.stores.leases.holder(run.workspace, 1), undefined);
  const root = join(harness.dataDir, "workspaces", run.workspace, "1");
  assert.deepEqual(readdirSync(join(root, "profiles")), []);
  assert.ok(run.dbtFinished !== null && run.dbtFinished.dbtOffset <= (run.logSize ?? 0));
}

function withHarness(title: string, body: (harness: JobHarness) => Promise<void>): void {
  test(title, { timeout: TIMEOUT_MS }, async () => {
    const harness = await createJobHarness();
    try {
      await body(harness);
    } finally {
      await harness.close();
    }
  });
}

describe("dbt-job", { concurrency: 2 }, () => {
  withHarness(
    "runs in one workspace: success, an edit that fails, a retry; no secret is kept anywhere",
    async (harness) => {
      const project = copyProject("tiny");
      const projectFile = join(project, "dbt_project.yml");
      writeFileSync(
        projectFile,
        `${readFileSync(projectFile, "utf8")}on-run-start: ["{{ say(env_var('MY_TOKEN')) }}"]\nvars: {planted: "{{ env_var('MY_TOKEN') }}"}\n`,
      );
      writeFileSync(join(project, "models/planted.sql"), "select '{{ env_var(\"MY_TOKEN\") }}' as planted");
      const envelope = {
        profiles: PROFILE,
        env: {
          MY_TOKEN: SECRET,
          DBT_ENV_SECRET_OTHER: "another-secret-value",
          DBT_REMOTE_X: "never",
          PATH: "/nowhere",
        },
        secretNames: ["MY_TOKEN"],
      };

      const first = await harness.run({ project, args: ["build"], envelope });
      assert.equal(first.status, "success", await harness.text(first.id));
      assert.equal(first.exitCode, 0);
      assert.equal(first.dbtVersion, "1.11.16");
      await checkEnd(harness, first);
      const log = await harness.text(first.id);
      assert.match(log, /^the profile's tiny\.duckdb is the file \/.*\/tree\/tiny\.duckdb\n/);
      assert.match(await harness.text(first.id, "log", ["out"]), /^\*\*\*\*\*$/m);
      assert.match(await harness.text(first.id, "events"), /"CommandCompleted"/);
      const paths = (await harness.stores.artifacts.list(first.id)).map(({ path }) => path);
      for (const path of [
        "logs/dbt.log",
        "target/manifest.json",
        "target/run_results.json",
        "target/compiled/tiny/models/counts.sql",
      ]) {
        assert.ok(paths.includes(path), path);
      }
      assert.ok(!paths.some((path) => path.includes("partial_parse") || path.includes("duckdb")));
      assert.match(await harness.artifact(first.id, "target/compiled/tiny/models/planted.sql"), /select '\*\*\*\*\*'/);
      assert.equal((await harness.stores.artifacts.get(first.id))?.manifestPath, "target/manifest.json");
      // The warehouse is the user's own; all else is free of the secrets.
      const holding = (text: string) =>
        filesHolding(harness.dataDir, text).filter((file) => !file.includes("tiny.duckdb"));
      for (const form of [SECRET, JSON.stringify(SECRET).slice(1, -1), "another-secret-value"]) {
        assert.deepEqual(holding(form), [], form);
      }

      rmSync(join(project, "models/planted.sql"));
      writeFileSync(join(project, "models/broken.sql"), "select * from no_such_table");
      const second = await harness.run({ project, args: ["run"], envelope });
      assert.deepEqual([second.status, second.reason, second.exitCode], ["failed", "dbt_failed", 1]);
      await checkEnd(harness, second);
      const root = harness.projectIn(1);
      assert.ok(!existsSync(join(root, "models/planted.sql")));
      assert.ok(existsSync(join(root, "tiny.duckdb")));
      assert.match(await harness.text(second.id), /no_such_table/);
      const dbtLog = await harness.artifact(second.id, "logs/dbt.log");
      assert.equal(dbtLog.match(/Running with dbt/g)?.length, 1, "dbt.log holds this run alone");

      // The seed is in the warehouse of the run before, the results to retry are in the workspace.
      writeFileSync(join(project, "models/broken.sql"), "select * from main.people");
      const third = await harness.run({ project, args: ["retry"], envelope });
      assert.equal(third.status, "success", await harness.text(third.id));
      assert.match(await harness.text(third.id), /1 of 1 OK created sql view model main\.broken/);
      await checkEnd(harness, third);
      assert.doesNotMatch(await harness.text(third.id), /the profile's/, "said once");

      // Elsewhere, without the models: only what dbt made of them.
      const bare = await makeProject({
        "dbt_project.yml": 'name: tiny\nversion: "1.0"\nprofile: tiny\n',
        "seeds/people.csv": "id,name\n1,Ada\n",
      });
      const manifest = await harness.artifact(first.id, "target/manifest.json");
      const fourth = await harness.run({
        ...{ project: bare, args: ["build", "-s", "people", "names", "counts"], mode: "manifest" },
        moreFiles: { "target/manifest.json": manifest },
        ...{ workspace: "f".repeat(64), envelope },
      });
      assert.equal(fourth.status, "success", await harness.text(fourth.id));
      assert.match(await harness.text(fourth.id), /OK created sql table model main\.counts/);
      await checkEnd(harness, fourth);
    },
  );

  withHarness("a cancelled run stops dbt within seconds, and keeps what it had done", async (harness) => {
    const { runId } = await startSlow(harness);
    const at = Date.now();
    await harness.stores.cancellations.request(runId, "ada", "enough");
    const run = await harness.ended(runId);
    assert.ok(Date.now() - at < 25_000, `it took ${Date.now() - at} ms`);
    assert.deepEqual([run.status, run.reason, run.message], ["cancelled", null, "Cancelled by ada: enough."]);
    await checkEnd(harness, run);
    const results = JSON.parse(await harness.artifact(runId, "target/run_results.json"));
    assert.ok(results.results.some((each: { unique_id: string }) => each.unique_id === "model.slow.quick"));
    assert.equal(run.exitCode, run.dbtFinished?.exitCode);
  });

  withHarness("SIGTERM to the job is a cancellation in a hurry", async (harness) => {
    const { runId, job } = await startSlow(harness);
    const at = Date.now();
    job.kill("SIGTERM");
    const run = await harness.ended(runId);
    assert.ok(Date.now() - at < 10_000, `it took ${Date.now() - at} ms`);
    assert.equal(run.status, "cancelled");
    assert.match(run.message ?? "", /SIGTERM/);
    await checkEnd(harness, run);
    assert.ok((await harness.artifact(runId, "logs/dbt.log")).includes("START"));
    assert.equal((await job.done).code, 0);
  });

  withHarness("a dbt that is killed is said so, and log and artifacts are kept", async (harness) => {
    const { runId, job } = await startSlow(harness);
    const at = Date.now();
    for (const pid of childrenOf(job.pid)) process.kill(pid, "SIGKILL");
    const run = await harness.ended(runId);
    assert.ok(Date.now() - at < 10_000, `it took ${Date.now() - at} ms`);
    assert.deepEqual([run.status, run.reason, run.exitCode], ["failed", "dbt_killed", 137]);
    await checkEnd(harness, run);
    assert.ok((await harness.artifact(runId, "logs/dbt.log")).includes("START"));
  });

  withHarness(
    "when the job itself is killed, its log stays as far as it was shipped, and dbt does not go on",
    async (harness) => {
      const { runId, job } = await startSlow(harness);
      const [dbt = -1] = childrenOf(job.pid);
      job.kill("SIGKILL");
      await until("the end of dbt", () => !existsSync(`/proc/${dbt}`) || undefined);
      assert.match(await harness.text(runId), /2 of 2 START/);
      assert.equal((await harness.stores.runs.require(runId)).status, "running");
      // What the server does next: the log can be sealed where it ends.
      const writer = await harness.state.logs.openWriter(runId, "log");
      assert.ok((await writer.seal()).finalOffset > 0);
    },
  );

  withHarness(
    "packages are installed where they are missing; deps brings them back; readers have a root of their own",
    async (harness) => {
      const project = await makeProject({
        "dbt_project.yml": 'name: boxes\nversion: "1.0"\nprofile: tiny\nflags:\n  send_anonymous_usage_stats: false\n',
        "packages.yml": "packages:\n  - local: packages/box\n",
        "packages/box/dbt_project.yml": 'name: box\nversion: "1.0"\n',
        "packages/box/macros/box.sql": "{% macro box() %}select 1 as id{% endmacro %}",
        "models/one.sql": "{{ box.box() }}",
      });
      const reader = { access: "read", warehouseFile: null } as const;
      const listed = await harness.run(
        { project, args: ["ls", "--target-path", "@outside/my-target/t"], ...reader },
        { root: 2 },
      );
      assert.equal(listed.status, "success", await harness.text(listed.id));
      assert.match(
        await harness.text(listed.id, "log", ["job"]),
        /dbt deps: 0 of 1 packages are installed\n[\s\S]*Installing packages\/box/,
      );
      assert.match(await harness.text(listed.id, "log", ["out"]), /boxes\.one/);
      assert.ok(!(await harness.text(listed.id, "log", ["out"])).includes("Installing"));
      assert.ok(existsSync(join(harness.projectIn(2), "dbt_packages/box")));
      assert.ok(!existsSync(harness.projectIn(1)));
      assert.equal((await harness.artifact(listed.id, "@outside/my-target/t/manifest.json"))[0], "{");

      const deps = await harness.run({ project, args: ["deps"] });
      assert.equal(deps.status, "success", await harness.text(deps.id));
      const artifacts = await harness.stores.artifacts.list(deps.id);
      assert.deepEqual(
        artifacts.map(({ path, mode }) => `${mode} ${path}`),
        ["120000 dbt_packages/box", "100644 logs/dbt.log", "100644 package-lock.yml"],
      );
    },
  );

  withHarness("what can't be run is said, in status and log", async (harness) => {
    const project = copyProject("tiny");
    const expired = await harness.run({ project, args: ["run"], envelope: null });
    assert.deepEqual([expired.status, expired.reason], ["failed", "envelope_expired"]);
    assert.match(await harness.text(expired.id), /no longer kept[\s\S]*\nEND JOB\n$/);

    const outside = await harness.run({ project, args: ["run"], inputTexts: { "@outside/../../x": "text" } });
    assert.deepEqual([outside.status, outside.reason], ["failed", "job_failed"]);
    assert.match(await harness.text(outside.id), /lies outside[\s\S]*\nEND JOB\n$/);

    const noDbt = await harness.run({ project, args: ["run"] }, { env: { DBT_SERVER_PYTHON: "/usr/bin/python3" } });
    assert.deepEqual([noDbt.status, noDbt.reason], ["failed", "job_failed"]);
    assert.match(noDbt.message ?? "", /No Python with dbt Core was found/);

    const again = harness.startJob(noDbt.id);
    assert.deepEqual([(await again.done).code, (await again.done).stdout], [0, ""]);
    assert.match((await again.done).stderr, /nothing to do.*the run is failed already/);
    assert.deepEqual(await harness.ended(noDbt.id), noDbt);
  });
});

function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((child) => {
      try {
        const stat = readFileSync(`/proc/${child}/stat`, "utf8");
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === pid;
      } catch {
        return false;
      }
    });
}
