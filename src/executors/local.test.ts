import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type ExecutorHarness, executorContract } from "../../test/contracts/executor-contract.ts";
import { createLocalExecutor, jobOutputPath } from "./local.ts";
import { processFacts } from "./processes.ts";

const OBEDIENT_JOB = join(import.meta.dirname, "../../test/contracts/obedient-job.ts");

async function createHarness(): Promise<ExecutorHarness & { readonly folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "executor-"));
  const create = () =>
    createLocalExecutor({
      nodePath: process.execPath,
      jobPath: OBEDIENT_JOB,
      dataDir: folder,
      env: async () => ({ TEST_FOLDER: folder }),
    });
  return {
    folder,
    executor: create(),
    restarted: async () => create(),
    startedWith: async (runId) => (await started(folder, runId)).env,
    end: (runId, exitCode) => writeFile(join(folder, `${runId}.end`), String(exitCode)),
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

interface Started {
  readonly env: Readonly<Record<string, string>>;
  readonly childPid: number;
}

async function started(folder: string, runId: string): Promise<Started> {
  return JSON.parse(await until(() => readFile(join(folder, `${runId}.started`), "utf8").catch(() => undefined)));
}

async function until<T>(read: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const value = await read();
    if (value !== undefined) return value;
    assert.ok(Date.now() < deadline, "nothing came in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

executorContract("local", createHarness);

const aRequest = () => ({ runId: randomUUID(), workspace: "w", root: 1 as const, jobProfile: null, timeoutMs: null });

test("a job sees the variables it was given and nothing of the server's", async () => {
  const harness = await createHarness();
  process.env["SECRET_OF_THE_SERVER"] = "hunter2";
  try {
    const request = aRequest();
    await harness.executor.launch(request);
    const env = await harness.startedWith(request.runId);
    // macOS adds a variable of its own to every process.
    const names = Object.keys(env).filter((name) => !name.startsWith("__CF"));
    assert.deepEqual(names.sort(), ["DBT_JOB_ROOT", "DBT_JOB_RUN_ID", "TEST_FOLDER"]);
    await harness.end(request.runId, 0);
  } finally {
    delete process.env["SECRET_OF_THE_SERVER"];
    await harness.close();
  }
});

test("a kill reaches what the job has started in other process groups", async () => {
  const harness = await createHarness();
  try {
    const request = aRequest();
    const execution = await harness.executor.launch(request);
    const { childPid } = await started(harness.folder, request.runId);
    assert.notEqual(processFacts(childPid), undefined);
    await harness.executor.kill(execution);
    await until(() => (processFacts(childPid) === undefined ? true : undefined));
  } finally {
    await harness.close();
  }
});

test("a program that cannot be started is an error with its reason", async () => {
  const harness = await createHarness();
  const options = { jobPath: OBEDIENT_JOB, env: async () => ({}) };
  const noNode = createLocalExecutor({ ...options, nodePath: "/nowhere/node", dataDir: harness.folder });
  const noFolder = createLocalExecutor({ ...options, nodePath: process.execPath, dataDir: OBEDIENT_JOB });
  try {
    await assert.rejects(noNode.launch(aRequest()), /could not be launched.*ENOENT/);
    await assert.rejects(noFolder.launch(aRequest()), /could not be launched.*(ENOTDIR|EEXIST)/);
  } finally {
    await harness.close();
  }
});

test("what a job prints is kept", async () => {
  const harness = await createHarness();
  const program = join(harness.folder, "job.ts");
  await writeFile(program, `console.error("no such run")`);
  const executor = createLocalExecutor({
    nodePath: process.execPath,
    jobPath: program,
    dataDir: harness.folder,
    env: async () => ({}),
  });
  try {
    const request = aRequest();
    const exited = new Promise<string>((resolve) => executor.onExit(resolve));
    await executor.launch(request);
    assert.equal(await exited, request.runId);
    assert.match(await readFile(jobOutputPath(harness.folder, request.runId), "utf8"), /no such run/);
  } finally {
    await harness.close();
  }
});
