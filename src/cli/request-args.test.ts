import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDbtArgv } from "../core/dbt-argv.ts";
import { outputFiles, stateFolders, wireArgs, wireFlagVariables } from "./request-args.ts";
import { createWirePaths } from "./wire-paths.ts";

const folders = { cwd: "/w/project/models", projectDir: "/w/project" };

function wire(line: string) {
  const paths = createWirePaths(folders.projectDir);
  const args = wireArgs(parseDbtArgv(line.split(" ")), folders, paths).join(" ");
  const ids = Object.keys(paths.outside);
  return { args: ids.reduce((text, id) => text.replaceAll(id, "<id>"), args), outside: Object.values(paths.outside) };
}

test("paths of arguments: relative to the project, or a placeholder", () => {
  const cases: [string, string, string[]?][] = [
    ["run", "run"],
    ["run --project-dir ..", "run --project-dir ."],
    ["run --project-dir=/w/project --profiles-dir ~/x", "run --project-dir=. --profiles-dir @profiles"],
    // dbt reads state and target-path from the project's root, log-path from the current folder
    ["run --state prod --target-path out", "run --state prod --target-path out"],
    ["run --log-path logs", "run --log-path models/logs"],
    ["run --log-path ../logs", "run --log-path logs"],
    ["run --state ../other/target", "run --state @outside/<id>", ["/w/other/target"]],
    ["run --state /w/project/prod", "run --state prod"],
    ["run --state=/s --defer-state /s", "run --state=@outside/<id> --defer-state @outside/<id>", ["/s"]],
    ["run --state run:latest", "run --state run:latest"],
    ["source freshness -o out/f.json", "source freshness -o models/out/f.json"],
    ["source freshness -o/x/f.json", "source freshness -o@outside/<id>/f.json", ["/x"]],
    ["run --partial-parse-file-path /p/pp.msgpack", "run --partial-parse-file-path @outside/<id>/pp.msgpack", ["/p"]],
    ["ls --output json --vars {a:/b}", "ls --output json --vars {a:/b}"],
  ];
  for (const [line, args, outside = []] of cases) assert.deepEqual(wire(line), { args, outside }, line);
});

test("flag variables travel with their paths translated, folders of project and profiles not at all", () => {
  const paths = createWirePaths(folders.projectDir);
  const env = {
    DBT_TARGET_PATH: "out",
    DBT_LOG_PATH: "/w/project/l",
    DBT_PROJECT_DIR: "/w/project",
    DBT_PROFILES_DIR: "/p",
    DBT_STATE: "run:3",
    DBT_THREADS_NOT_A_FLAG: "1",
    DBT_QUIET: "1",
    PATH: "/bin",
  };
  assert.deepEqual(wireFlagVariables(env, folders, paths), {
    DBT_TARGET_PATH: "out",
    DBT_LOG_PATH: "l",
    DBT_STATE: "run:3",
    DBT_QUIET: "1",
  });
});

test("state folders that are read, and files that are written", () => {
  const states = (line: string, env = {}) => stateFolders(parseDbtArgv(line.split(" ")), env, folders);
  assert.deepEqual(states("run --state prod --defer-state /d"), ["/w/project/prod", "/d"]);
  assert.deepEqual(states("run --state run:latest"), []);
  assert.deepEqual(states("run", { DBT_STATE: "s" }), ["/w/project/s"]);
  assert.deepEqual(states("run --state t", { DBT_STATE: "s" }), ["/w/project/t"]);
  assert.deepEqual(outputFiles(parseDbtArgv(["source", "freshness", "-o", "f.json"]), folders), [
    "/w/project/models/f.json",
  ]);
});
