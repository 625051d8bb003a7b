/** A container that starts while the project is still on its way: its job waits for its run, or gives it up. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import type { RunRequest } from "../../../src/api/schemas/runs.ts";
import { AppError } from "../../../src/core/errors.ts";
import { toRow } from "../../../src/snapshot/entry.ts";
import { contentPack } from "../../../src/snapshot/pack.ts";
import { takeSnapshot } from "../../../src/snapshot/take.ts";
import { EXECUTIONS, type LaunchedExecution } from "../../../src/state/executions.ts";
import { copyProject, until } from "../../harness.ts";
import { type SystemOptions, startSystem } from "./system.ts";

/** A client that posts a project step by step, on a server with nothing in its State. */
async function startClient(context: TestContext, options: SystemOptions = {}) {
  const system = await startSystem(context, options);
  if (system === undefined) return undefined;
  await system.server();
  const api = system.api();
  const { id, entries, open } = await takeSnapshot({ projectDir: copyProject("cloud"), cacheDir: undefined });
  const { host, port, user, password, database: dbname } = system.database;
  const dev = { type: "postgres", host, port, user, password, dbname, schema: "public", threads: 1 };
  const request: RunRequest = {
    ...{ command: ["ls", "--quiet"], snapshotId: id, workspace: { name: "ahead" } },
    envelope: { profiles: JSON.stringify({ cloud: { target: "dev", outputs: { dev } } }) },
  };
  const key = randomUUID();
  return {
    system,
    post: () => api.postRun(request, key),
    isRefused: async (code: string) =>
      assert.rejects(api.postRun(request, key), (error) => error instanceof AppError && error.code === code),
    putSnapshot: () => api.putSnapshot(id, { put: entries.map(toRow) }),
    async sendContents() {
      const chunks: Uint8Array[] = [];
      for await (const chunk of contentPack(entries, open)) chunks.push(chunk as Uint8Array);
      await api.postPack(Buffer.concat(chunks));
    },
    /** Of the execution, the container that runs. */
    async container() {
      return until("a container", () => system.cloud.executions[0]?.container);
    },
    async logOf(runId: string): Promise<string> {
      const { segments } = await system.state.logs.read(runId, "log", 0, 1_000_000);
      return Buffer.concat(segments.map(({ bytes }) => bytes)).toString();
    },
  };
}

const records = (system: NonNullable<Awaited<ReturnType<typeof startSystem>>>) =>
  system.state.records.list<LaunchedExecution>(EXECUTIONS);

test("the container is there before the project is, and the run is its", { timeout: 300_000 }, async (context) => {
  const client = await startClient(context);
  if (client === undefined) return;
  const { system } = client;
  await client.isRefused("snapshot_unknown");
  const postedAtMs = performance.now();
  const container = await client.container();
  await until("the job to wait", () => /waits for its run/.test(container.output()), 60_000);
  context.diagnostic(`the job waits ${Math.round(performance.now() - postedAtMs)} ms after the first post's answer`);
  assert.deepEqual(await system.stores.runs.list(), [], "no run before its project is there");
  await client.putSnapshot();
  await client.isRefused("blobs_missing");
  await client.sendContents();
  const sentAtMs = performance.now();
  const { run, created } = await client.post();
  assert.equal(created, true);
  await system.runWhen("to run", run.id, ({ status }) => status !== "pending");
  context.diagnostic(`its run begins ${Math.round(performance.now() - sentAtMs)} ms after the project is there`);
  assert.equal((await container.ended).exitCode, 0, container.output());
  const ended = await system.stores.runs.require(run.id);
  assert.deepEqual([ended.status, ended.exitCode, ended.execution], ["success", 0, system.cloud.executions[0]?.name]);
  const log = await client.logOf(run.id);
  assert.match(log, /cloud\.second/);
  assert.ok(log.endsWith("END JOB\n"), log);
  assert.equal(system.cloud.executions.length, 1);
  assert.deepEqual(system.cloud.executions[0]?.overrides, {
    containerOverrides: [{ env: [{ name: "DBT_JOB_RUN_ID", value: run.id }] }],
  });
  assert.equal(await system.state.envelopes.take(run.id), undefined);
});

test("nobody comes back: the job gives up, and a later post launches anew", { timeout: 300_000 }, async (context) => {
  const client = await startClient(context, { jobEnv: { DBT_JOB_AHEAD_WAIT_MS: "1" } });
  if (client === undefined) return;
  const { system } = client;
  await client.isRefused("snapshot_unknown");
  const container = await client.container();
  assert.equal((await container.ended).exitCode, 0, container.output());
  assert.match(container.output(), /nothing to do for run .*: its run did not come within/);
  assert.deepEqual(await records(system), []);
  await client.putSnapshot();
  await client.sendContents();
  const { run } = await client.post();
  const ended = await system.runWhen("its end", run.id, ({ finishedAt }) => finishedAt !== null);
  assert.equal(ended.status, "success", ended.message ?? "");
  assert.equal(system.cloud.executions.length, 2);
  assert.equal(ended.execution?.name, system.cloud.executions[1]?.name);
});
