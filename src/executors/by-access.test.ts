import assert from "node:assert/strict";
import { test } from "node:test";
import { createExecutorByAccess } from "./by-access.ts";
import { createCloudRunExecutor } from "./cloud-run.ts";
import type { Executor } from "./port.ts";

const nothing = async (): Promise<never> => {
  throw new Error("not asked for");
};

test("only a job that runs in a container of its own can wait for its run", async () => {
  const launched: string[] = [];
  const client = {
    ...{ getExecution: nothing, cancelExecution: nothing, listTasks: nothing },
    async runJob(job: string) {
      launched.push(job);
      return { name: `${job}/executions/e` };
    },
  };
  const jobs = new Map([["default", "j"]]);
  const others = createCloudRunExecutor({ client, projectId: "p", location: "l", jobs, now: Date.now });
  const reads: Executor = {
    ...{ kind: "local", launch: nothing, status: nothing, kill: nothing, close: nothing },
    onExit: () => undefined,
  };
  const { ahead } = createExecutorByAccess({ reads, others });
  const request = { runId: "r", jobProfile: null };
  assert.equal(ahead?.({ ...request, access: "read" }), undefined);
  assert.equal(ahead?.({ ...request, access: "write", jobProfile: "huge" }), undefined);
  const launch = ahead?.({ ...request, access: "write" });
  assert.deepEqual(launched, [], "nothing is launched before it is asked for");
  assert.equal((await launch?.())?.id, "projects/p/locations/l/jobs/j/executions/e");
});
