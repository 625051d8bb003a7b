import assert from "node:assert/strict";
import { test } from "node:test";
import { dbtEnvironment } from "./job-environment.ts";

const nothing = { serverEnv: {}, allow: [], envelopeEnv: {}, own: {} };

test("only listed names of the server pass", () => {
  const serverEnv = {
    PATH: "/bin",
    LC_TIME: "de_DE",
    https_proxy: "http://proxy",
    PYTHONPATH: "/x",
    AWS_SECRET_ACCESS_KEY: "no",
    DBT_ENV_SECRET_TOKEN: "no",
    PGHOST: "db",
    PGPORT: "5433",
    WAREHOUSE: "big",
    GONE: undefined,
  };
  assert.deepEqual(dbtEnvironment({ ...nothing, serverEnv, allow: ["PG*", "WAREHOUSE", "GONE"] }), {
    PATH: "/bin",
    LC_TIME: "de_DE",
    https_proxy: "http://proxy",
    PGHOST: "db",
    PGPORT: "5433",
    WAREHOUSE: "big",
    GIT_TERMINAL_PROMPT: "0",
  });
});

test("what came with the run overrides, but never the machine, nor dbt-remote's own variables", () => {
  const serverEnv = { PATH: "/bin", HOME: "/root", TZ: "UTC", DBT_SERVER_TOKEN: "t", DBT_REMOTE_X: "x" };
  const envelopeEnv = {
    PATH: "/evil",
    HOME: "/evil",
    PYTHONPATH: "/evil",
    PYTHONDONTWRITEBYTECODE: "1",
    LD_PRELOAD: "/evil",
    DYLD_INSERT_LIBRARIES: "/evil",
    DBT_SERVER_TOKEN: "t",
    DBT_REMOTE_WORKSPACE: "w",
    GIT_TERMINAL_PROMPT: "1",
    TZ: "Europe/Berlin",
    SCHEMA: "mine",
  };
  assert.deepEqual(dbtEnvironment({ ...nothing, serverEnv, allow: ["DBT_*"], envelopeEnv }), {
    PATH: "/bin",
    HOME: "/root",
    TZ: "Europe/Berlin",
    SCHEMA: "mine",
    GIT_TERMINAL_PROMPT: "0",
  });
});

test("a secret comes from the server first, another value from the run", () => {
  const serverEnv = { DBT_ENV_SECRET_A: "server", PASSWORD: "server", SCHEMA: "server", DBT_ENV_SECRET_B: "server" };
  const envelopeEnv = { DBT_ENV_SECRET_A: "run", PASSWORD: "run", SCHEMA: "run", DBT_ENV_SECRET_B: "run" };
  const allow = ["DBT_ENV_SECRET_A", "PASSWORD", "SCHEMA"];
  const env = dbtEnvironment({ serverEnv, allow, envelopeEnv, secretNames: ["PASSWORD"], own: { SCHEMA: "job" } });
  assert.deepEqual(
    [env["DBT_ENV_SECRET_A"], env["PASSWORD"], env["SCHEMA"], env["DBT_ENV_SECRET_B"]],
    ["server", "server", "job", "run"],
  );
});
