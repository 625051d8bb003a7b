/** Several servers on one State, and jobs in containers of which only Google knows: nobody's memory may be needed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { startCloudRun } from "../../test/cloud-run-stand-in.ts";
import { tempFolder } from "../../test/folders.ts";
import { startMetadata } from "../../test/metadata-stand-in.ts";
import { until } from "../../test/programs.ts";
import { SCRIPTED_JOB, type Script, scripted } from "../../test/service-fixture.ts";
import type { RunAnswer, RunView } from "../api/schemas/runs.ts";
import { createCloudRunExecutor } from "../executors/cloud-run.ts";
import { ensureJob } from "../executors/cloud-run-jobs.ts";
import { connectRun } from "../gcp/run.ts";
import { snapshotId } from "../snapshot/entry.ts";
import { openLocalState } from "../state/local/open.ts";
import { createStores } from "../state/stores.ts";
import { createAuth } from "./auth.ts";
import { createLaunches } from "./launches.ts";
import { CLOUD_PATIENCE, type Patience } from "./reaper.ts";
import { createService, type Service } from "./service.ts";

const PLACE = { projectId: "p", location: "l" };
const NEVER = join(tempFolder("never"), "comes");

async function startCloud(context: TestContext) {
  const dataDir = tempFolder("data");
  const metadata = await startMetadata();
  const image = {
    programs: { "dbt-job": [process.execPath, SCRIPTED_JOB] },
    env: (folder: string) => ({ PATH: "/usr/bin:/bin", HOME: folder, DBT_SERVER_DATA_DIR: dataDir }),
  };
  const cloud = await startCloudRun({ folder: tempFolder("containers"), images: { image } });
  const env = { GCE_METADATA_HOST: metadata.host, CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: cloud.url };
  const retry = { giveUpAfterMs: 2_000, firstPauseMs: 20, maxPauseMs: 100 };
  const client = connectRun({ env, home: dataDir, now: Date.now, retry });
  await ensureJob(client, { ...PLACE, job: "j", image: "image", timeoutMs: 600_000, env: {} });
  const state = await openLocalState({ dataDir, now: Date.now });
  const stores = createStores({ state, now: Date.now, snapshotId });
  const failures: unknown[] = [];
  const services: Service[] = [];
  context.after(async () => {
    for (const service of services) await service.stop();
    await cloud.close();
    await metadata.close();
    await state.close();
  });

  /** Each as a process of its own would be: with its own State handle and executor. */
  async function server(patience: Partial<Patience> = {}, tickMs = 200) {
    const own = await openLocalState({ dataDir, now: Date.now });
    const service = await createService({
      state: own,
      stores: createStores({ state: own, now: Date.now, snapshotId }),
      executor: createCloudRunExecutor({ client, ...PLACE, jobs: new Map([["default", "j"]]), now: Date.now }),
      ...{ now: Date.now, version: "0.0.0", port: () => 80, auth: createAuth("none", null), serverEnv: {} },
      settings: {
        ...{ state: "gcp", maxRuns: 100, runTimeoutMs: null, streamTimeoutMs: 60_000, profilesDir: undefined },
        signedDownloads: false,
      },
      engine: async () => ({
        version: "1",
        adapters: [],
        requireAdapter: () => undefined,
        versionText: async () => "",
      }),
      jobOutput: () => NEVER,
      warehousePath: () => null,
      clearRoot: () => undefined,
      onError: (error) => failures.push(error),
      patience: { ...CLOUD_PATIENCE, ...patience },
      isAlone: false,
      tickMs,
    });
    services.push(service);
    const send = async <T>(method: "GET" | "POST", url: string, payload?: object): Promise<T> => {
      const answer = await service.app.inject({
        method,
        url,
        ...(payload && { payload }),
        headers: { host: "localhost:80" },
      });
      assert.ok(answer.statusCode < 300, answer.body);
      return answer.json<T>();
    };
    return {
      service,
      post: async (script: Script = {}) => (await send<RunAnswer>("POST", "/api/v1/runs", scripted(script))).run,
      run: (id: string) => send<RunView>("GET", `/api/v1/runs/${id}`),
      reconcile: () => send<{ running: number; pending: number }>("POST", "/api/v1/reconcile"),
    };
  }
  return { cloud, stores, state, server, failures };
}

test("runs posted to two servers are launched once each", { timeout: 120_000 }, async (context) => {
  const { cloud, stores, server, failures } = await startCloud(context);
  const servers = await Promise.all([server({}, 50), server({}, 50)]);
  await Promise.all(servers.map(({ service }) => service.start()));
  const posted = await Promise.all(
    Array.from({ length: 6 }, (_, at) => servers[at % 2]?.post({ lines: 1 }).then((run) => run.id)),
  );
  for (const id of posted) {
    assert.ok(id !== undefined);
    await until(`run ${id}`, async () => (await stores.runs.require(id)).status === "success", 60_000);
  }
  assert.equal(cloud.executions.length, 6);
  assert.deepEqual(failures, []);
});

test("a launch whose answer is lost may be made twice; its run is claimed once, and ends well", {
  timeout: 120_000,
}, async (context) => {
  const { cloud, stores, server } = await startCloud(context);
  const { post, service } = await server();
  await service.start();
  cloud.fail({ of: /:run$/, times: 1, as: "lost-answer" });
  const { id } = await post();
  assert.equal(cloud.executions.length, 2);
  await until("its end", async () => (await stores.runs.require(id)).status === "success");
});

test("a server that died while it launched: its claim is another's after a while", async () => {
  const state = await openLocalState({ dataDir: tempFolder("data"), now: Date.now });
  let nowMs = 0;
  const executions = createStores({ state, now: () => nowMs, snapshotId }).executions;
  const launches = (serverId: string) =>
    createLaunches({ records: state.records, executions, serverId, isAlone: false, now: () => nowMs });
  const [one, other] = [launches("one"), launches("other")];
  const kinds = async (servers: readonly (typeof one)[]) =>
    (await Promise.all(servers.map((each) => each.claim("r")))).map(({ kind }) => kind);
  assert.deepEqual([...(await kinds([one])), ...(await kinds([other, one]))], ["claimed", "no", "no"]);
  assert.equal(await other.isUnderWay("r"), true);
  nowMs += 91_000;
  assert.equal(await other.isUnderWay("r"), false);
  assert.deepEqual((await kinds([one, other])).sort(), ["claimed", "no"]);
  await state.close();
});

test("a job of another server's own machine is not taken for dead before it can have begun", async (context) => {
  const { cloud, stores, state, server } = await startCloud(context);
  const { post, run } = await server();
  cloud.nextLaunch("never-starts");
  const { id } = await post();
  const launch = (launchedAtMs: number) =>
    state.records.put("executions", id, { kind: "local", id: "7:5", launchedAtMs });
  await launch(Date.now());
  assert.equal((await run(id)).status, "pending");
  const other = await server();
  await launch(Date.now() - 61_000);
  assert.equal((await other.run(id)).reason, "launch_failed");
  assert.equal((await stores.runs.require(id)).status, "failed");
});

test("what never begins, vanishes or is ended from outside fails in Google's words", {
  timeout: 120_000,
}, async (context) => {
  const { cloud, stores, server } = await startCloud(context);
  const first = await server({ claimMs: 500 });
  const second = await server({ claimMs: 500 });
  const containerOf = (run: RunView) => cloud.executions.find(({ name }) => name === run.execution?.name);

  await context.test("no quota", async () => {
    cloud.nextLaunch("never-starts");
    const posted = await first.post();
    assert.equal(posted.status, "pending");
    assert.notEqual(posted.execution, null);
    await new Promise((resume) => setTimeout(resume, 600));
    const run = await second.run(posted.id);
    assert.deepEqual([run.status, run.reason], ["failed", "launch_failed"]);
    assert.match(run.message ?? "", /did not begin within 0\.5 s: Quota exceeded for total allowable CPU/);
    assert.equal(containerOf(run)?.hasEnded, true, "what would begin later was told not to");
  });

  for (const [how, end, reason] of [
    ["its execution deleted", "remove", "lost"],
    ["its instance lost", "kill", "job_failed"],
    ["cancelled in the console", "stop", "job_failed"],
  ] as const) {
    await context.test(how, async () => {
      const { id } = await first.post({ until: NEVER, stubborn: true });
      await until("it to run", async () => (await stores.runs.require(id)).status === "running");
      const execution = containerOf(await first.run(id)) ?? cloud.executions.at(-1);
      if (end === "remove") cloud.remove(execution?.name ?? "");
      else if (end === "kill") execution?.container?.kill("instance");
      else execution?.container?.stop("cancelled");
      await execution?.container?.ended;
      // No tick, no timer: the first answer is the truth.
      const run = await second.run(id);
      assert.deepEqual([run.status, run.reason], ["failed", reason], run.message ?? "");
      assert.match(run.message ?? "", /deleted|terminated|cancelled by a user/);
    });
  }
});
