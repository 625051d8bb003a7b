import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDbtArgv } from "../core/dbt-argv.ts";
import { adaptArgs, adaptVariables, pathSetting, toAbsolute, toWire } from "./adapt.ts";

const folders = { project: "/ws/1/tree/app", outside: "/ws/1/outside", profiles: "/ws/1/profiles" };

test("placeholders become folders, all else stays as it was typed", () => {
  const cases: [string[], string[]][] = [
    [
      ["run", "--state", "@outside/abc123"],
      ["run", "--state", "/ws/1/outside/abc123"],
    ],
    [
      ["run", "--state=@outside/abc123/a b"],
      ["run", "--state=/ws/1/outside/abc123/a b"],
    ],
    [
      ["--profiles-dir", "@profiles", "run"],
      ["--profiles-dir", "/ws/1/profiles", "run"],
    ],
    [
      ["run", "--target-path", "out", "-s", "@outside/abc123"],
      ["run", "--target-path", "out", "-s", "@outside/abc123"],
    ],
    [
      ["source", "freshness", "-o@outside/abc123/f.json"],
      ["source", "freshness", "-o/ws/1/outside/abc123/f.json"],
    ],
    [
      ["run", "--vars", "{a: '@outside/abc123'}"],
      ["run", "--vars", "{a: '@outside/abc123'}"],
    ],
  ];
  for (const [args, adapted] of cases) assert.deepEqual(adaptArgs(args, folders), adapted);
});

test("dbt's path variables are adapted, and no others", () => {
  assert.deepEqual(
    adaptVariables({ DBT_STATE: "@outside/abc123", DBT_TARGET_PATH: "t", MINE: "@outside/abc123" }, folders),
    {
      DBT_STATE: "/ws/1/outside/abc123",
      DBT_TARGET_PATH: "t",
      MINE: "@outside/abc123",
    },
  );
});

test("a wire path and an absolute one are each other's", () => {
  for (const [wire, absolute] of [
    ["target/manifest.json", "/ws/1/tree/app/target/manifest.json"],
    ["@outside/abc123/x", "/ws/1/outside/abc123/x"],
  ] as const) {
    assert.equal(toAbsolute(wire, folders), absolute);
    assert.equal(toWire(absolute, folders), wire);
  }
  assert.equal(toAbsolute(".", folders), folders.project);
  assert.equal(toAbsolute("./target", folders), "/ws/1/tree/app/target");
  assert.equal(toWire("/ws/1/tree/apple", folders), undefined);
  for (const bad of ["../x", "a/../../x", "/etc/passwd", "@outside/../x", "@outside/abc123/../../x", "", "@outsider"]) {
    assert.throws(() => toAbsolute(bad, folders), { code: "path_outside" }, bad);
  }
});

test("a typed path setting wins over the environment's", () => {
  const env = { DBT_TARGET_PATH: "from-env", DBT_LOG_PATH: "logs2" };
  assert.equal(pathSetting(parseDbtArgv(["run", "--target-path", "typed"]), "--target-path", env), "typed");
  assert.equal(pathSetting(parseDbtArgv(["run"]), "--target-path", env), "from-env");
  assert.equal(pathSetting(parseDbtArgv(["run"]), "--log-path", env), "logs2");
  assert.equal(pathSetting(parseDbtArgv(["run"]), "--log-path", {}), undefined);
});
