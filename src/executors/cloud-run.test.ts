import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { startCloudRun } from "../../test/cloud-run-stand-in.ts";
import { type ExecutorHarness, executorContract } from "../../test/contracts/executor-contract.ts";
import { tempFolder } from "../../test/folders.ts";
import { startMetadata } from "../../test/metadata-stand-in.ts";
import { until } from "../../test/programs.ts";
import { AppError } from "../core/errors.ts";
import { connectRun } from "../gcp/run.ts";
import { createCloudRunExecutor } from "./cloud-run.ts";
import { ensureJob } from "./cloud-run-jobs.ts";

const OBEDIENT_JOB = join(import.meta.dirname, "../../test/contracts/obedient-job.ts");
const PLACE = { projectId: "p-test", location: "europe-west1" };
const JOB = "projects/p-test/locations/europe-west1/jobs/dbt-remote";

async function createHarness() {
  const folder = tempFolder("cloud-run");
  const metadata = await startMetadata();
  const image = { programs: { "dbt-job": [process.execPath, OBEDIENT_JOB] }, env: () => ({ PATH: "/usr/bin:/bin" }) };
  const cloud = await startCloudRun({ folder, images: { image } });
  const env = { GCE_METADATA_HOST: metadata.host, CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: cloud.url };
  const retry = { giveUpAfterMs: 2_000, firstPauseMs: 20, maxPauseMs: 100 };
  const client = connectRun({ env, home: folder, now: Date.now, retry });
  const spec = { ...PLACE, job: "dbt-remote", image: "image", timeoutMs: 600_000, env: { TEST_FOLDER: folder } };
  await ensureJob(client, spec);
  const jobs = new Map([["default", "dbt-remote"]]);
  const create = () => createCloudRunExecutor({ client, ...PLACE, jobs, now: Date.now });
  const executor = create();
  return {
    folder,
    cloud,
    client,
    spec,
    executor,
    create,
    metadata,
    async close() {
      await cloud.close();
      await metadata.close();
    },
  };
}

executorContract("cloud-run", async (): Promise<ExecutorHarness> => {
  const { folder, executor, create, close } = await createHarness();
  const roots = new Map<string, number>();
  return {
    executor: {
      ...executor,
      // Plays State's part, too: the server leases a root before it launches, and the job finds it there.
      launch(request) {
        roots.set(request.runId, request.root);
        return executor.launch(request);
      },
    },
    restarted: async () => create(),
    async startedWith(runId) {
      const path = join(folder, `${runId}.started`);
      const text = await until("the job", () => readFile(path, "utf8").catch(() => undefined), 20_000);
      return { ...JSON.parse(text).env, DBT_JOB_ROOT: String(roots.get(runId)) };
    },
    end: (runId, exitCode) => writeFile(join(folder, `${runId}.end`), String(exitCode)),
    close,
  };
});

const aRequest = () => ({ runId: randomUUID(), workspace: "w", root: 1 as const, jobProfile: null, timeoutMs: null });

test("what ends an execution is told in Google's own words", { timeout: 120_000 }, async (t) => {
  const { cloud, executor, create, close } = await createHarness();
  t.after(close);
  const launched = async () => {
    const execution = await executor.launch(aRequest());
    const container = cloud.executions.find(({ name }) => name === execution.id)?.container;
    return { execution, container };
  };
  const ended = (id: string) =>
    until("its end", async () => {
      const status = await create().status({ kind: "cloud-run", id });
      return status.state === "gone" ? status : undefined;
    });

  await t.test("overrides carry the run's id and nothing else", async () => {
    const request = aRequest();
    const { id } = await executor.launch(request);
    const execution = cloud.executions.find(({ name }) => name === id);
    assert.deepEqual(execution?.overrides, {
      containerOverrides: [{ env: [{ name: "DBT_JOB_RUN_ID", value: request.runId }] }],
    });
    assert.equal(execution?.container?.env["CLOUD_RUN_EXECUTION"], id.split("/").at(-1));
    execution?.container?.kill("instance");
  });
  await t.test("memory", async () => {
    const { execution, container } = await launched();
    container?.kill("memory");
    const status = await ended(execution.id);
    assert.equal(status.outOfMemory, true);
    assert.equal(status.signal, "SIGKILL");
    assert.match(status.reason ?? "", /^Memory limit of 512 MiB exceeded/);
  });
  await t.test("timeout", async () => {
    const { execution, container } = await launched();
    container?.stop("timeout");
    const status = await ended(execution.id);
    assert.equal(status.timedOut, true);
    assert.match(status.reason ?? "", /configured timeout was reached/);
  });
  await t.test("cancelled by somebody", async () => {
    const { execution } = await launched();
    await executor.kill(execution);
    const status = await ended(execution.id);
    assert.equal(status.cancelled, true);
    assert.equal(status.timedOut, undefined);
  });
  await t.test("an image that is not there", async () => {
    cloud.nextLaunch("image-not-found");
    const { execution } = await launched();
    const status = await ended(execution.id);
    assert.match(status.reason ?? "", /Image 'image' not found/);
    assert.equal(status.exitCode, null);
  });
  await t.test("no quota: it waits, and says for what", async () => {
    cloud.nextLaunch("never-starts");
    const { execution } = await launched();
    const status = await executor.status(execution);
    assert.deepEqual(status, {
      state: "alive",
      waitingFor: "Quota exceeded for total allowable CPU per project per region.",
    });
    await executor.kill(execution);
    assert.equal((await ended(execution.id)).cancelled, true);
  });
  await t.test("deleted with its Job", async () => {
    const { execution } = await launched();
    cloud.remove(execution.id);
    assert.match((await ended(execution.id)).reason ?? "", /deleted/);
  });
});

test("Google's failures: passing ones are tried again, a refusal names what is missing", async (t) => {
  const { cloud, executor, close } = await createHarness();
  t.after(close);
  for (const as of [429, 500, 503, "reset"] as const) {
    cloud.fail({ of: /:run$/, times: 1, as });
    const execution = await executor.launch(aRequest());
    assert.equal((await executor.status(execution)).state, "alive", String(as));
    cloud.fail({ of: /GET .*executions/, times: 2, as });
    assert.equal((await executor.status(execution)).state, "alive", String(as));
  }
  cloud.fail({ of: /GET .*executions/, times: 1000, as: 503 });
  const unsure = cloud.executions.at(-1)?.name ?? "";
  await new Promise((resume) => setTimeout(resume, 2_100));
  await assert.rejects(executor.status({ kind: "cloud-run", id: unsure }), { code: "state_unavailable" });
  cloud.fail({ of: /:run$/, times: 1, as: 403 });
  await assert.rejects(
    executor.launch(aRequest()),
    (error) =>
      error instanceof AppError && error.code === "forbidden" && /roles\/run\.developer/.test(error.hint ?? ""),
  );
  await assert.rejects(executor.launch({ ...aRequest(), jobProfile: "huge" }), /no job profile "huge"/);
});

test("a managed Job is made, changed only where it differs, and keeps what others have put there", async (t) => {
  const { cloud, client, spec, close } = await createHarness();
  t.after(close);
  const task = () => cloud.job(JOB)?.template?.template;
  assert.equal(task()?.maxRetries, 0);
  assert.equal(task()?.timeout, "600s");
  assert.equal(await ensureJob(client, spec), "unchanged");
  const secret = { name: "DBT_ENV_SECRET_X", valueSource: { secretKeyRef: { secret: "x", version: "latest" } } };
  const job = await client.getJob(JOB);
  assert.ok(job?.template?.template?.containers?.[0]);
  const [container] = job.template.template.containers;
  const containers = [{ ...container, env: [secret, ...(container.env ?? [])] }];
  const template = { ...job.template, template: { ...job.template.template, containers } };
  await client.updateJob(JOB, { ...job, template });
  assert.equal(await ensureJob(client, { ...spec, memory: "4Gi", serviceAccount: "a@b" }), "updated");
  assert.equal(await ensureJob(client, { ...spec, memory: "4Gi" }), "unchanged");
  const now = task();
  assert.deepEqual(now?.containers?.[0]?.env?.[0], secret);
  assert.deepEqual(now?.containers?.[0]?.resources?.limits, { memory: "4Gi" });
  assert.equal(now?.serviceAccount, "a@b");
  const reserved = [{ ...container, env: [{ name: "CLOUD_RUN_JOB", value: "x" }] }];
  const bad = {
    ...job,
    etag: cloud.job(JOB)?.etag ?? "",
    template: { ...job.template, template: { containers: reserved } },
  };
  await assert.rejects(client.updateJob(JOB, bad), /reserved env names/);
});
