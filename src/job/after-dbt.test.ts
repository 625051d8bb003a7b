import assert from "node:assert/strict";
import { test } from "node:test";
import { copyProject } from "../../test/harness.ts";
import { createJobHarness, PROFILE } from "../../test/job-harness.ts";
import { scriptedDbt } from "../../test/scripted-dbt.ts";
import { AppError } from "../core/errors.ts";
import { executeRun } from "./execute-run.ts";
import { createStopSwitch } from "./stopping.ts";

const SECRET = "hunter2-behind-dbt";

test("what fails behind dbt's own work is a warning without secrets: status and exit code stay dbt's", async (context) => {
  const harness = await createJobHarness();
  context.after(() => harness.close());
  const envelope = { profiles: PROFILE, env: { DBT_ENV_SECRET_TOKEN: SECRET } };
  const runId = await harness.post({ project: copyProject("tiny"), args: ["run"], envelope });
  const { dataDir, state, stores } = harness;
  const nothing = {
    google: undefined,
    execution: undefined,
    taskTimeoutMs: undefined,
    aheadWaitMs: 0,
    wakeUrl: undefined,
  };
  await executeRun({
    settings: {
      ...{ ...nothing, runId, root: 1, dataDir, fixedBase: undefined, python: undefined, profilesDir: undefined },
      ...{ jobEnv: [], warm: undefined, debug: false },
    },
    ...{ env: {}, state, stores, engine: scriptedDbt({ lines: 1, forMs: 1 }), stop: createStopSwitch(), now: Date.now },
    afterDbt: async ({ outcome }) => {
      assert.equal(outcome.status, "success");
      throw new AppError("internal", `The report could not be made: ${SECRET} is no token.`, { hint: "Try another." });
    },
  });
  const { status, exitCode, warnings } = await stores.runs.require(runId);
  assert.deepEqual([status, exitCode], ["success", 0]);
  assert.match(warnings.join(), /The report could not be made: \*{5} is no token/);
  const log = await harness.text(runId, "log", ["job"]);
  assert.match(log, /warning: The report could not be made[\s\S]*END JOB\n$/);
  assert.ok(!log.includes(SECRET));
});
