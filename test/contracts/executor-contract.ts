/** What every executor promises, shown with a job that does nothing but wait to be told its exit code. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import type { Execution, Executor, LaunchRequest } from "../../src/executors/port.ts";

/** An executor whose job is the test's own. */
export interface ExecutorHarness {
  readonly executor: Executor;
  /** Another executor over the same machine, as after a restart of the server. */
  restarted(): Promise<Executor>;
  /** The environment that the job of this run was started with, once it runs. */
  startedWith(runId: string): Promise<Readonly<Record<string, string>>>;
  /** Lets the job of this run end by itself. */
  end(runId: string, exitCode: number): Promise<void>;
  close(): Promise<void>;
}

/** Runs the suite over one executor. */
export function executorContract(name: string, createHarness: () => Promise<ExecutorHarness>): void {
  const check = (title: string, body: (harness: ExecutorHarness) => Promise<void>): void => {
    test(`${name} executor: ${title}`, { timeout: 60_000 }, async () => {
      const harness = await createHarness();
      try {
        await body(harness);
      } finally {
        await harness.close();
      }
    });
  };

  check("tells the job its run and its root, and knows that it lives", async (harness) => {
    const request = aRequest({ root: 2 });
    const execution = await harness.executor.launch(request);
    assert.equal(execution.kind, harness.executor.kind);
    const env = await harness.startedWith(request.runId);
    assert.equal(env["DBT_JOB_RUN_ID"], request.runId);
    assert.equal(env["DBT_JOB_ROOT"], "2");
    assert.deepEqual(await harness.executor.status(execution), { state: "alive" });
    await harness.end(request.runId, 0);
    await untilGone(harness.executor, execution);
  });

  check("knows a job that ended, and its exit code", async (harness) => {
    const request = aRequest();
    const exited: string[] = [];
    harness.executor.onExit((runId) => exited.push(runId));
    const execution = await harness.executor.launch(request);
    await harness.startedWith(request.runId);
    await harness.end(request.runId, 3);
    const status = await untilGone(harness.executor, execution);
    assert.equal(status.exitCode, 3);
    assert.equal(status.outOfMemory, false);
    assert.ok(exited.every((runId) => runId === request.runId));
  });

  check("ends a job by force, and no other", async (harness) => {
    const [one, other] = [aRequest(), aRequest()];
    const doomed = await harness.executor.launch(one);
    const spared = await harness.executor.launch(other);
    await Promise.all([harness.startedWith(one.runId), harness.startedWith(other.runId)]);
    await harness.executor.kill(doomed);
    await untilGone(harness.executor, doomed);
    assert.deepEqual(await harness.executor.status(spared), { state: "alive" });
    await harness.executor.kill(doomed);
    await harness.end(other.runId, 0);
    await untilGone(harness.executor, spared);
  });

  check("a job outlives its server, and the next server knows it", async (harness) => {
    const request = aRequest();
    const execution = await harness.executor.launch(request);
    await harness.startedWith(request.runId);
    await harness.executor.close();
    const next = await harness.restarted();
    assert.deepEqual(await next.status(execution), { state: "alive" });
    await next.kill(execution);
    await untilGone(next, execution);
    await next.close();
  });

  check("takes an execution it cannot know for gone, and leaves others alone", async (harness) => {
    const execution: Execution = { kind: harness.executor.kind, id: `${process.pid}:1` };
    assert.equal((await harness.executor.status(execution)).state, "gone");
    await harness.executor.kill(execution);
    for (const id of ["", ":", "1:1", "-1:0", "x:y", "999999999:5"]) {
      assert.equal((await harness.executor.status({ kind: harness.executor.kind, id })).state, "gone", id);
      await harness.executor.kill({ kind: harness.executor.kind, id });
    }
  });
}

function aRequest(changes: Partial<LaunchRequest> = {}): LaunchRequest {
  return { runId: randomUUID(), workspace: "a".repeat(64), root: 1, jobProfile: null, timeoutMs: null, ...changes };
}

async function untilGone(executor: Executor, execution: Execution) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const status = await executor.status(execution);
    if (status.state === "gone") return status;
    assert.ok(Date.now() < deadline, `execution ${execution.id} is still alive`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
