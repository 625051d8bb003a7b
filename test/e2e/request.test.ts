import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { record } from "./recorder.ts";
import { DUCKDB_PROFILE, projectYaml, writeFiles } from "./written-project.ts";

let cwd: string;
before(() => {
  cwd = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": DUCKDB_PROFILE,
    "models/m.sql": "select 1 as id",
  });
});

test("dbt's arguments arrive as they were typed, dbt-remote's own are taken out wherever they stand", async () => {
  const vars = `{"a": "it's \\"so\\" $HOME \`x\` \\\\ é", "b": ["--detach", 'y']}\nline two`;
  const dbt = ["--no-use-colors", "run", "-s", "a b", "tag:x,y+", "--exclude", "*", "--vars", vars, "--threads=2", ""];
  const own = [["--timeout", "90s"], ["--workspace=w"], ["--no-wait"], ["--env", "X"]] as const;
  const { request } = await record([...own[0], ...dbt.slice(0, 2), ...own[1], ...dbt.slice(2), ...own[2], ...own[3]], {
    cwd,
  });
  assert.deepEqual(request.command, dbt);
  assert.deepEqual(request.args, dbt);
  assert.deepEqual(request.workspace?.name, "w");
  assert.deepEqual([request.options?.timeoutMs, request.noWait], [90_000, true]);
});

test("one round trip where the server has the project, and every post has a key", async () => {
  const { requests } = await record(["ls"], { cwd, knowsProject: true });
  assert.deepEqual(requests, ["POST /api/v1/runs"]);
  const first = await record(["ls"], { cwd });
  assert.deepEqual(
    first.requests.map((each) => each.replace(/v1-[0-9a-f]{64}$/, "ID")),
    ["POST /api/v1/runs", "PUT /api/v1/snapshots/ID", "POST /api/v1/runs"],
  );
  writeFileSync(join(cwd, "models", "m.sql"), "select 2 as id");
  const edited = await record(["ls"], { cwd });
  assert.notEqual(edited.request.snapshotId, first.request.snapshotId);
});

test("a run that nobody follows ends where CI is set, unless it was detached", async () => {
  const wait = async (args: readonly string[], env: Record<string, string>) =>
    (await record(["ls", ...args], { cwd, env, knowsProject: true })).request.options?.cancelOnDisconnectMs;
  assert.equal(await wait([], {}), null);
  assert.equal(await wait([], { CI: "true" }), 60_000);
  assert.equal(await wait(["--detach"], { CI: "true" }), null);
  assert.equal(await wait(["--cancel-on-disconnect", "off"], { CI: "true" }), null);
  assert.equal(await wait(["--detach", "--cancel-on-disconnect", "5m"], {}), 300_000);
});

test("options come from flags, then the environment, then dbt_remote.yml", async () => {
  const folder = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": DUCKDB_PROFILE,
    "dbt_remote.yml": "workspace: of-file\ntimeout: 1h\n",
  });
  const names = async (args: readonly string[], env: Record<string, string>) => {
    const { request } = await record(["ls", ...args], { cwd: folder, env });
    return [request.workspace?.name, request.options?.timeoutMs];
  };
  assert.deepEqual(await names([], {}), ["of-file", 3_600_000]);
  assert.deepEqual(await names([], { DBT_REMOTE_WORKSPACE: "of-env" }), ["of-env", 3_600_000]);
  assert.deepEqual(await names(["--workspace", "of-flag"], { DBT_REMOTE_WORKSPACE: "of-env" }), ["of-flag", 3_600_000]);
});
