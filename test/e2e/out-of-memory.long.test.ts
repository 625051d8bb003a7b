/** What the kernel does to a dbt that needs more memory than there is, for real: in a control group with little of it. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cli, copyProject, root, startServer, tempFolder, until } from "../harness.ts";
import { requirePart } from "../require.ts";

const env = { DBT_PROFILES_DIR: join(root, "test/fixtures/projects/tiny-profiles") };
const LIMIT = 700 * 2 ** 20;

interface ControlGroup {
  add(pid: number): void;
  remove(): void;
}

/** Undefined where this user may make none. */
function controlGroup(bytes: number): ControlGroup | undefined {
  const isUnified = existsSync("/sys/fs/cgroup/cgroup.controllers");
  const base = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
  const folder = join(base, `dbt-remote-test-${process.pid}`);
  try {
    mkdirSync(folder);
    writeFileSync(join(folder, isUnified ? "memory.max" : "memory.limit_in_bytes"), String(bytes));
  } catch {
    if (existsSync(folder)) rmdirSync(folder);
    return undefined;
  }
  return {
    add: (pid) => writeFileSync(join(folder, "cgroup.procs"), String(pid)),
    remove: () => rmdirSync(folder),
  };
}

test("a dbt that is killed for want of memory is said to be, and the next run goes on", async (context) => {
  const group = controlGroup(LIMIT);
  if (!requirePart(context, "control groups", group !== undefined, "this user may make none")) return;
  const server = await startServer({ home: tempFolder("home") });
  context.after(async () => {
    await server.stop();
    await until("an empty control group", () => {
      try {
        group?.remove();
        return true;
      } catch {
        return false;
      }
    });
  });
  group?.add(server.pid);
  const project = copyProject("tiny");
  mkdirSync(join(project, "macros"), { recursive: true });
  const macro = "{% macro eat() %}{% set eaten = 'x' * 3000000000 %}{{ print(eaten | length) }}{% endmacro %}";
  writeFileSync(join(project, "macros", "eat.sql"), macro);
  const eaten = await cli(["run-operation", "eat"], { server, cwd: project, env });
  assert.notEqual(eaten.code, 0);
  assert.match(eaten.stderr, /memory/);
  const [run] = JSON.parse((await cli(["runs", "--json"], { server, cwd: project, env })).stdout);
  assert.deepEqual([run.status, run.reason], ["failed", "out_of_memory"], JSON.stringify(run));
  const next = await cli(["ls"], { server, cwd: project, env });
  assert.equal(next.code, 0, next.stdout + next.stderr);
});
