import assert from "node:assert/strict";
import { test } from "node:test";
import { checkNode, parseSettings } from "./settings.ts";

const env = { DBT_JOB_RUN_ID: "r", DBT_JOB_ROOT: "2", DBT_SERVER_DATA_DIR: "/data" };

test("the environment says what to run, and where", () => {
  assert.deepEqual(parseSettings({ ...env, DBT_SERVER_JOB_ENV: "A, B*,", DBT_SERVER_PYTHON: "/venv/bin/python" }), {
    runId: "r",
    root: 2,
    google: undefined,
    dataDir: "/data",
    fixedBase: undefined,
    execution: undefined,
    taskTimeoutMs: undefined,
    aheadWaitMs: 60_000,
    wakeUrl: undefined,
    python: "/venv/bin/python",
    profilesDir: undefined,
    jobEnv: ["A", "B*"],
    warm: undefined,
    debug: false,
  });
  const warm = { DBT_JOB_WARM_SOCKET: "/tmp/w/s", DBT_JOB_WARM_ANSWER_MS: "3000", DBT_JOB_DEBUG: "1" };
  const { warm: place, debug } = parseSettings({ ...env, ...warm });
  assert.deepEqual({ place, debug }, { place: { socketPath: "/tmp/w/s", answerMs: 3000 }, debug: true });
});

test("on Cloud Run all but the run's id is the container's own, and the folder is always the same", () => {
  const container = {
    ...{ DBT_SERVER_STATE: "gcp", PROJECT_ID: "p", BUCKET_NAME: "b", LOCATION: "l", DBT_JOB_TASK_TIMEOUT: "21600s" },
    ...{ CLOUD_RUN_JOB: "j", CLOUD_RUN_EXECUTION: "j-abc", DBT_JOB_WAKE_URL: "https://dbt.example/" },
  };
  const settings = parseSettings({ ...container, DBT_JOB_RUN_ID: "r" });
  assert.deepEqual(settings.google, { projectId: "p", bucket: "b", database: undefined });
  assert.equal(settings.root, undefined);
  assert.equal(settings.fixedBase, "/tmp/dbt-remote/run");
  assert.equal(settings.execution, "projects/p/locations/l/jobs/j/executions/j-abc");
  assert.equal(settings.taskTimeoutMs, 6 * 3_600_000);
  assert.equal(settings.wakeUrl, "https://dbt.example");
  assert.throws(() => parseSettings({ DBT_JOB_RUN_ID: "r", DBT_SERVER_STATE: "gcp" }), /PROJECT_ID is not set/);
  assert.throws(
    () => parseSettings({ ...container, DBT_JOB_RUN_ID: "r", DBT_JOB_TASK_TIMEOUT: "long" }),
    /DBT_JOB_TASK_TIMEOUT is "long"/,
  );
});

test("what is missing or wrong is named", () => {
  assert.throws(() => parseSettings({}), /DBT_JOB_ROOT is not set/);
  assert.throws(() => parseSettings({ ...env, DBT_JOB_ROOT: "3" }), /DBT_JOB_ROOT is "3"/);
  assert.throws(() => parseSettings({ ...env, DBT_SERVER_DATA_DIR: "data" }), /DBT_SERVER_DATA_DIR is "data"/);
  assert.throws(() => parseSettings({ ...env, DBT_SERVER_STATE: "tape" }), /DBT_SERVER_STATE is "tape"/);
  assert.throws(() => checkNode("v20.18.0"), { code: "node_too_old" });
  checkNode(process.version);
});
