import assert from "node:assert/strict";
import { test } from "node:test";
import { secretAccess, secretsOfJobs } from "./cloud-options.ts";
import { parseServerCommand } from "./options.ts";

const around = { cwd: "/work", home: "/home/me", cores: 4 };

function settingsOf(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const command = parseServerCommand(argv, env, around);
  assert.equal(command.kind, "serve");
  if (command.kind !== "serve") throw new Error("unreachable");
  return command.settings;
}

test("on Cloud Run the server's log is JSON, unless it is to be text", () => {
  assert.equal(settingsOf([]).logFormat, "text");
  assert.equal(settingsOf([], { K_SERVICE: "dbt-server" }).logFormat, "json");
  assert.equal(settingsOf(["--log-format", "text"], { K_SERVICE: "dbt-server" }).logFormat, "text");
  assert.equal(settingsOf([], { DBT_SERVER_LOG_FORMAT: "json" }).logFormat, "json");
});

test("jobs are told which secrets to read, never what is in them", () => {
  const settings = settingsOf(["--profiles-secret", "dbt-profiles", "--secret-env", "A=a,B=projects/p/secrets/b"]);
  assert.deepEqual(secretsOfJobs(settings), {
    DBT_SERVER_PROFILES_SECRET: "dbt-profiles",
    DBT_SERVER_SECRET_ENV: "A=a,B=projects/p/secrets/b",
  });
  assert.deepEqual(secretsOfJobs(settingsOf([])), {});
  const env = { PROJECT_ID: "p", GOOGLE_APPLICATION_CREDENTIALS: "/key.json", CLOUDSDK_CONFIG: "", OTHER: "x" };
  assert.deepEqual(secretAccess(settings, env), { PROJECT_ID: "p", GOOGLE_APPLICATION_CREDENTIALS: "/key.json" });
  assert.deepEqual(secretAccess(settingsOf([]), env), {});
  for (const wrong of ["A", "=a", "1A=a", "A=a b", "A=$(x)"]) {
    assert.throws(() => settingsOf(["--secret-env", wrong]), { code: "bad_argument" }, wrong);
  }
});
