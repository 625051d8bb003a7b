/** Runs as on Google Cloud, through the real CLI, real servers, and jobs with nothing but their container's environment. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { RunView } from "../../../src/api/schemas/runs.ts";
import { masked, type TestServer, until } from "../../harness.ts";
import { countedLines, countUntil, printed } from "../gated.ts";
import { type CloudSystem, LOCATION, newestRun, startSystem } from "./system.ts";

const gate = (name: string) => ({ path: name, open: () => undefined });
const isEnded = ({ status }: { readonly status: string }): boolean => status !== "pending" && status !== "running";

/** As it is at its end: the CLI leaves when dbt has ended, before the job has. */
async function lastRun(system: CloudSystem): Promise<RunView> {
  const { id } = await newestRun(system);
  return system.runWhen("its end", id, isEnded);
}

/** The container of a run. */
function containerOf(system: CloudSystem, run: { readonly execution: { readonly name: string } | null }) {
  const container = system.cloud.executions.find(({ name }) => name === run.execution?.name)?.container;
  assert.ok(container, "the run has no container");
  return container;
}

test("build, a failing build, retry", { timeout: 600_000 }, async (context) => {
  const system = await startSystem(context);
  if (system === undefined) return;
  system.metadata.fail(2);
  await system.server();
  const { start, project } = system.checkout();

  await context.test("build: as dbt would, in a container that is told the run's id alone", async () => {
    // Google says no for a moment: to make the run, and to look at it.
    system.cloud.fail({ of: /:run$/, times: 1, as: 503 });
    system.cloud.fail({ of: /GET .*executions/, times: 1, as: 429 });
    const { code, stdout, stderr } = await start(["build"]).done;
    assert.equal(code, 0, stdout + stderr);
    assert.match(masked(stdout), /Done\. PASS=2 WARN=0 ERROR=0/);
    assert.ok(existsSync(join(project, "target", "run_results.json")));
    const run = await lastRun(system);
    assert.equal(run.status, "success");
    const [execution] = system.cloud.executions;
    assert.equal(run.execution?.name, execution?.name);
    assert.match(
      run.execution?.consoleUrl ?? "",
      /^https:\/\/console\.cloud\.google\.com\/run\/jobs\/executions\/details/,
    );
    assert.match(run.execution?.logUrl ?? "", /logs\/query/);
    assert.deepEqual(execution?.overrides, {
      containerOverrides: [{ env: [{ name: "DBT_JOB_RUN_ID", value: run.id }] }],
    });
    const job = system.cloud.job(`projects/${system.projectId}/locations/${LOCATION}/jobs/dbt-remote`);
    assert.equal(job?.template?.template?.maxRetries, 0);
    assert.equal(job?.template?.template?.timeout, "21600s");
    const { password } = system.database;
    for (const place of [
      JSON.stringify(job),
      JSON.stringify(execution?.overrides),
      containerOf(system, run).output(),
    ]) {
      assert.ok(!place.includes(password));
    }
    // What happened is in Google Cloud's log as well, where the run leads to.
    const lines = containerOf(system, run).output().split("\n");
    const entries = lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    assert.ok(entries.some(({ event, nodeId }) => event === "NodeFinished" && /^model\./.test(nodeId)));
    assert.ok(entries.every((entry) => entry["logging.googleapis.com/labels"].run_id === run.id));
    assert.match(run.links.cloudLog ?? "", new RegExp(`logs/query;query=labels\\.run_id.*${run.id}`));
    // In the container, each run's project has the same absolute path.
    assert.ok(readdirSync(join(containerOf(system, run).folder, "data", "run", "tree")).includes("dbt_project.yml"));
    assert.equal(await system.state.envelopes.take(run.id), undefined);
  });

  await context.test("a failing build, and its retry in a new container", async () => {
    const failed = await start(["build", "--vars", "{needs: later}"]).done;
    assert.equal(failed.code, 1, failed.stdout + failed.stderr);
    assert.match(failed.stdout, /relation "public\.later" does not exist/);
    const run = await lastRun(system);
    assert.deepEqual([run.status, run.reason, run.exitCode], ["failed", "dbt_failed", 1]);
    system.sql("create table public.later ()");
    const retried = await start(["retry"]).done;
    assert.equal(retried.code, 0, retried.stdout + retried.stderr);
    assert.match(retried.stdout, /PASS=1 /);
    assert.equal(system.cloud.executions.length, 3);
  });
});

test("servers come and go, jobs go on", { timeout: 600_000 }, async (context) => {
  const system = await startSystem(context);
  if (system === undefined) return;
  const [first, second] = [await system.server(), await system.server()];
  const { start } = system.checkout("gated");

  await context.test(
    "kill -9 of a server: the other goes on with the stream; a cancellation there is obeyed",
    async () => {
      system.balancer.to(first.port);
      const cli = start(countUntil(gate("never")));
      await printed(cli, /^line 3 /m);
      const run = await newestRun(system);
      const container = containerOf(system, run);
      // Lines come every tenth of a second, and travel together once a second: the oldest of each lot has waited longest,
      // the one in the middle half as long.
      const ages = await agesOn(system.api(second), run.id, 5);
      context.diagnostic(`the oldest lines are ${ages.join(", ")} ms old where another server streams them`);
      assert.ok((ages[Math.floor(ages.length / 2)] ?? Number.NaN) / 2 <= 1_000, `the median of ${ages}`);
      first.kill("SIGKILL");
      system.balancer.to(second.port);
      await printed(cli, /connected again/);
      const seen = countedLines(whole(cli.stdout()));
      await until("more lines", () => countedLines(whole(cli.stdout())) > seen + 5, 60_000);
      await system.api().cancel(run.id, { reason: "enough" });
      await until("dbt to be interrupted", () => /Interrupting dbt/.test(cli.stderr()), 30_000);
      await assertHeardSoon(context, system, run.id);
      const { code, stdout } = await cli.done;
      countedLines(whole(stdout));
      assert.notEqual(code, 0);
      const cancelled = await system.runWhen("its end", run.id, isEnded);
      assert.equal(cancelled.status, "cancelled");
      // Asked, not killed.
      assert.equal((await container.ended).cause, "itself");
      assert.ok(system.cloud.requests.every((line) => !line.endsWith(":cancel")));
    },
  );

  await context.test("no server alive: the job ends well, and wakes one, which launches what waits", async () => {
    const detached = async (args: readonly string[]) => (await start(["--detach", ...args]).done).stdout.trim();
    const id = await detached(countUntil(gate("open_now")));
    const run = await system.runWhen("to run", id, ({ status }) => status === "running");
    const queuedId = await detached(["run", "-s", "quick"]);
    assert.equal((await system.api().run(queuedId)).waitingFor, id);
    second.kill("SIGKILL");
    const woken: TestServer[] = [];
    system.balancer.to(async () => {
      woken.push(await system.server());
      return woken[0]?.port ?? 0;
    });
    system.sql("create table public.open_now ()");
    const container = containerOf(system, run);
    assert.equal((await container.ended).exitCode, 0, container.output());
    const ended = await system.stores.runs.require(id);
    assert.deepEqual([ended.status, ended.exitCode], ["success", 0]);
    assert.equal(woken.length, 1, "nobody else has asked");
    assert.doesNotMatch(container.output(), /was not woken/);
    const isOver = async () => isEnded(await system.stores.runs.require(queuedId));
    await until("the turn of the run that waited", isOver, 60_000);
    assert.equal((await system.api().run(queuedId)).status, "success");
  });
});

test("what ends a job from outside is told as it is, whoever asks first", { timeout: 600_000 }, async (context) => {
  const system = await startSystem(context);
  if (system === undefined) return;
  const server = await system.server();
  const { start } = system.checkout("gated");

  await context.test("memory, while no server is alive: the first answer of the next one is the truth", async () => {
    const cli = start(["--detach", "run"]);
    const id = (await cli.done).stdout.trim();
    const run = await system.runWhen("to run", id, ({ status }) => status === "running");
    server.kill("SIGKILL");
    containerOf(system, run).kill("memory");
    await containerOf(system, run).ended;
    assert.equal((await system.stores.runs.require(id)).status, "running");
    await system.server();
    const [listed] = (await system.api().runs({ limit: 1 })).runs;
    assert.deepEqual([listed?.status, listed?.reason], ["failed", "out_of_memory"]);
    assert.match(listed?.message ?? "", /Memory limit of 512 MiB exceeded/);
  });

  await context.test("an image that is not there: Google's own words", async () => {
    // The project is there by now, so that the run is launched once.
    system.cloud.nextLaunch("image-not-found");
    const { code, stderr } = await start(["run"]).done;
    assert.notEqual(code, 0);
    const run = await newestRun(system);
    assert.deepEqual([run.status, run.reason], ["failed", "launch_failed"]);
    assert.match(run.message ?? "", /Image '.*dbt-remote:1' not found/);
    assert.match(stderr, /not found/);
    assert.notEqual(run.execution, null);
  });

  await context.test("files that a container does not have are refused before anything is launched", async () => {
    const launched = system.cloud.executions.length;
    const post = (output: string, command = ["run"], jobProfile?: string) =>
      system.api().postRun(
        {
          command,
          files: [
            { path: "dbt_project.yml", contentBase64: base64("name: shop\nprofile: shop\n") },
            { path: "models/orders.sql", contentBase64: base64("select 1 as id") },
            { path: "profiles.yml", contentBase64: base64(`shop: {target: dev, outputs: {dev: ${output}}}`) },
          ],
          workspace: { name: "refused" },
          ...(jobProfile !== undefined && { options: { jobProfile } }),
        },
        randomUUID(),
      );
    await assert.rejects(post("{type: duckdb, path: shop.duckdb}"), /warehouse is the file shop\.duckdb/);
    await assert.rejects(post("{type: duckdb, path: /data/shop.duckdb}", ["show", "-s", "x"]), /\/data\/shop\.duckdb/);
    await assert.rejects(post("{type: postgres, sslrootcert: /home/ada/root.crt}"), (error) =>
      /sslrootcert is \/home\/ada\/root\.crt/.test(String(error)),
    );
    await assert.rejects(post("{type: postgres}", ["run"], "huge"), /no job profile "huge"/);
    assert.equal(system.cloud.executions.length, launched);
  });
});

test("commands that only read run in the server's own container where it says so", {
  timeout: 300_000,
}, async (context) => {
  const system = await startSystem(context);
  if (system === undefined) return;
  const server = await system.server({ args: ["--executor-reads", "local"] });
  const { code, stdout, stderr } = await system.checkout().start(["ls"]).done;
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /cloud\.second/);
  assert.equal(system.cloud.executions.length, 0);
  assert.equal((await newestRun(system)).execution, null);
  const gc = await system.gc();
  assert.deepEqual([gc.code, gc.stdout, gc.stderr], [0, "nothing to remove\n", ""]);
  assert.match(server.stdout(), /State: Firestore \(default\) of .* and gs:.*; jobs: cloud-run in europe-west1/);
});

/** How old the oldest lines of each lot are when a server streams them, in ms, sorted. */
async function agesOn(api: ReturnType<CloudSystem["api"]>, runId: string, count: number): Promise<number[]> {
  const ages: number[] = [];
  const { nextOffset } = await api.log(runId, { offset: 0 });
  for await (const event of api.logStream(runId, { offset: nextOffset, silenceMs: 30_000 })) {
    const [oldest] = event.type === "log" ? event.data.segments : [];
    if (oldest !== undefined) ages.push(Date.now() - oldest.timeMs);
    if (ages.length === count) break;
  }
  return ages.sort((a, b) => a - b);
}

/** From the request in State until the job has told dbt: two seconds, and more where the machine has no time for it. */
async function assertHeardSoon(context: TestContext, { state, stores }: CloudSystem, runId: string): Promise<void> {
  const asked = await stores.cancellations.get(runId);
  const { segments } = await state.logs.read(runId, "log", 0, 4_000_000);
  const heard = segments.find(
    ({ channel, bytes }) => channel === "job" && /Interrupting dbt/.test(`${Buffer.from(bytes)}`),
  );
  const tookMs = (heard?.timeMs ?? Number.NaN) - Date.parse(asked?.at ?? "");
  context.diagnostic(`the job heard of the cancellation after ${tookMs} ms`);
  assert.ok(tookMs < 4_000, `it took ${tookMs} ms`);
}

/** Up to the last whole line. */
const whole = (text: string): string => text.slice(0, text.lastIndexOf("\n") + 1);
const base64 = (text: string): string => Buffer.from(text).toString("base64");
