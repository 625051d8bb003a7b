import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  DBT_FLAG_VARIABLES,
  dbtFlagVariables,
  isCustomMetadataName,
  isSecretName,
  mayBeSent,
  namesUsed,
  pathOfVariable,
} from "./dbt-environment.ts";

test("dbt's flags are picked out of an environment, those without an option too", () => {
  const env = {
    DBT_TARGET: "dev",
    DBT_ENGINE_STATE: "old",
    DBT_ENGINE_HINTS_ENABLED: "false",
    DBT_HINTS_ENABLED: "no flag of dbt's",
    DBT_PACKAGE_HUB_URL: "https://hub",
    DO_NOT_TRACK: "1",
    DBT_SERVER_URL: "http://x",
    DBT_ENV_SECRET_A: "s",
    DBT_QUIET: undefined,
    HOME: "/h",
  };
  assert.deepEqual(Object.keys(dbtFlagVariables(env)), [
    "DBT_TARGET",
    "DBT_ENGINE_STATE",
    "DBT_ENGINE_HINTS_ENABLED",
    "DBT_PACKAGE_HUB_URL",
    "DO_NOT_TRACK",
  ]);
});

test("path-valued variables tell what their paths are relative to", () => {
  const paths = DBT_FLAG_VARIABLES.filter((name) => !name.startsWith("DBT_ENGINE_")).flatMap((name) => {
    const path = pathOfVariable(name);
    return path === null ? [] : [`${name} ${path.kind} ${path.base}`];
  });
  assert.deepEqual(paths.sort(), [
    "DBT_ARTIFACT_STATE_PATH state cwd",
    "DBT_DEFER_STATE defer-state project",
    "DBT_LOG_PATH log-path cwd",
    "DBT_PARTIAL_PARSE_FILE_PATH partial-parse-file cwd",
    "DBT_PROFILES_DIR profiles-dir cwd",
    "DBT_PROJECT_DIR project-dir cwd",
    "DBT_STATE state project",
    "DBT_TARGET_PATH target-path project",
  ]);
  assert.equal(pathOfVariable("DBT_ENGINE_STATE")?.base, "project");
  assert.equal(pathOfVariable("DBT_TARGET"), null);
});

/** text → names. */
const USES: readonly [text: string, names: string[]][] = [
  ["{{ env_var('A') }} {{ env_var(\"B\", 'x') }} {{ env_var('A') }}", ["A", "B"]],
  ["{{ env_var(\n  'A' ,\n  'b') | as_number }}", ["A"]],
  ["{{ env_var (var='A') }}", ["A"]],
  ['key: "{{ env_var(\\"A\\") }}"', ["A"]],
  ["key: '{{ env_var(''A'') }}'", ["A"]],
  ["{{ env_var('A-b.c 1') }}", ["A-b.c 1"]],
  ["{{ env_var(name) }} {{ my_env_var('X') }} {{ env_var('') }} {{ env_var('A\") }}", []],
  ["{% set x = env_var('A') ~ env_var('B' ~ x) %}", ["A", "B"]],
];

for (const [text, names] of USES) {
  test(`names in ${JSON.stringify(text)}`, () => assert.deepEqual(namesUsed(text), names));
}

test("finding names throws on no text", () => {
  fc.assert(fc.property(fc.string(), (text) => namesUsed(`env_var('${text}`).every((name) => name !== "")));
});

test("secret names, metadata names, and names that never travel", () => {
  assert.deepEqual(
    ["DBT_ENV_SECRET", "DBT_ENV_SECRET_A", "LISTED", "DBT_ENV_A"].map((name) => isSecretName(name, ["LISTED"])),
    [true, true, true, false],
  );
  assert.deepEqual(["DBT_ENV_CUSTOM_ENV_A", "DBT_ENV_A"].map(isCustomMetadataName), [true, false]);
  const never = ["PATH", "Path", "HOME", "PYTHONPATH", "LD_PRELOAD", "DBT_SERVER_TOKEN", "DBT_REMOTE_X", "", "A=B"];
  const allowed = ["USER", "DBT_TARGET", "PGPASSWORD", "DBT_ENV_SECRET_A", "PROJECT_ID", "MY_PATH", "TZ"];
  assert.deepEqual(never.filter(mayBeSent), []);
  assert.deepEqual(allowed.filter(mayBeSent), allowed);
});
