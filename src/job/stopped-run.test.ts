import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { copyProject } from "../../test/harness.ts";
import { createJobHarness } from "../../test/job-harness.ts";
import type { DbtExit, DbtProcess } from "../dbt/port.ts";
import { executeRun } from "./execute-run.ts";
import { parseSettings } from "./settings.ts";
import { createStopSwitch } from "./stopping.ts";

/** Works until it is interrupted, and takes that for a query's failure, as a macro's query is in some warehouses. */
async function startInterruptible(): Promise<DbtProcess> {
  const [stdout, stderr, events] = [new PassThrough(), new PassThrough(), new PassThrough()];
  let end: (exit: DbtExit) => void = () => undefined;
  const exit = new Promise<DbtExit>((resolve) => {
    end = resolve;
  });
  stdout.write("the query begins\n");
  return {
    ...{ pid: 0, stdout, stderr, events, exit },
    signal: (signal) => {
      for (const stream of [stdout, stderr, events]) stream.end();
      end(signal === "SIGINT" ? { code: 1, signal: null } : { code: null, signal });
      return true;
    },
  };
}

test("of a dbt that was told to end, its end says so: whoever follows waits for the reason", async (context) => {
  const harness = await createJobHarness();
  context.after(() => harness.close());
  const { dataDir, state, stores } = harness;
  const options = { timeoutMs: 100, cancelOnDisconnectMs: null, elementary: false, jobProfile: null };
  const runId = await harness.post({ project: copyProject("tiny"), args: ["run"], options });
  const env = { DBT_JOB_RUN_ID: runId, DBT_JOB_ROOT: "1", DBT_SERVER_DATA_DIR: dataDir };
  await executeRun({
    ...{ settings: parseSettings(env), env, state, stores, stop: createStopSwitch(), now: Date.now },
    engine: { version: async () => "1", start: startInterruptible },
  });
  const { status, reason, exitCode, dbtFinished } = await stores.runs.require(runId);
  assert.deepEqual([status, reason, exitCode], ["failed", "timed_out", 1]);
  assert.deepEqual([dbtFinished?.exitCode, dbtFinished?.stopped], [1, true]);
});
