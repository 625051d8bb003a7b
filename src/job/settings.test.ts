import assert from "node:assert/strict";
import { test } from "node:test";
import { checkNode, parseSettings } from "./settings.ts";

const env = { DBT_JOB_RUN_ID: "r", DBT_JOB_ROOT: "2", DBT_SERVER_DATA_DIR: "/data" };

test("the environment says what to run, and where", () => {
  assert.deepEqual(parseSettings({ ...env, DBT_SERVER_JOB_ENV: "A, B*,", DBT_SERVER_PYTHON: "/venv/bin/python" }), {
    runId: "r",
    root: 2,
    state: "local",
    dataDir: "/data",
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

test("what is missing or wrong is named", () => {
  assert.throws(() => parseSettings({}), /DBT_JOB_ROOT is not set/);
  assert.throws(() => parseSettings({ ...env, DBT_JOB_ROOT: "3" }), /DBT_JOB_ROOT is "3"/);
  assert.throws(() => parseSettings({ ...env, DBT_SERVER_DATA_DIR: "data" }), /DBT_SERVER_DATA_DIR is "data"/);
  assert.throws(() => parseSettings({ ...env, DBT_SERVER_STATE: "tape" }), /DBT_SERVER_STATE is "tape"/);
  assert.throws(() => checkNode("v20.18.0"), { code: "node_too_old" });
  checkNode(process.version);
});
