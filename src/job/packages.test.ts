import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { parseDbtArgv } from "../core/dbt-argv.ts";
import type { DbtInvocation } from "../dbt/port.ts";
import type { JobLog } from "./job-log.ts";
import { bringPackages, type PackagesParams } from "./packages.ts";
import { createStopSwitch } from "./stopping.ts";
import { openWorkspace } from "./workspace.ts";

const SHA = "0".repeat(64);
const entry = (path: string, sha256 = SHA) => ({ path, mode: "100644", sha256, size: 1 }) as const;

/** A project that lists two packages, and a dbt that only notes how it is called. */
function createScene(exitCode = 0, output = "") {
  const dataDir = tempFolder("data");
  const run = { workspace: SHA, projectDir: "app", profileFrom: "client" } as const;
  const workspace = openWorkspace({ dataDir, run, root: 1, serverProfiles: undefined });
  writeFileSync(
    join(workspace.project, "packages.yml"),
    "packages: [{package: a/b, version: 1}, {git: https://x/y}]\n",
  );
  const packagesDir = join(workspace.project, "dbt_packages");
  const calls: DbtInvocation[] = [];
  const lines: string[] = [];
  const log: JobLog = {
    write: async (channel, bytes) => void lines.push(`${channel}: ${Buffer.from(bytes)}`),
    say: (text) => void lines.push(text),
    flush: async () => undefined,
    offset: 0,
    failure: undefined,
    seal: async () => undefined,
    close: async () => undefined,
  };
  const base: Omit<PackagesParams, "entries" | "parsed"> = {
    workspace,
    packagesDir,
    env: { DBT_TARGET_PATH: "t", DBT_PROFILES_DIR: "/p", DBT_LOG_FORMAT: "json", HOME: "/h" },
    log,
    stop: createStopSwitch(),
    engine: {
      async start(invocation) {
        calls.push(invocation);
        const stdout = new PassThrough();
        stdout.end(output);
        for (const name of exitCode === 0 ? ["a", "b"] : [])
          mkdirSync(join(packagesDir, name, ".git"), { recursive: true });
        const empty = () => new PassThrough().end();
        const exit = Promise.resolve({ code: exitCode, signal: null });
        return { pid: 1, stdout, stderr: empty(), events: empty(), exit, signal: () => false };
      },
    },
  };
  const bring = (args: string[], entries: readonly ReturnType<typeof entry>[] = [entry("app/packages.yml")]) =>
    bringPackages({ ...base, parsed: parseDbtArgv(args), entries });
  return { bring, calls, lines, packagesDir, workspace };
}

test("packages are installed once for a list of them, and again when the list or the folder changed", async () => {
  const { bring, calls, packagesDir, workspace } = createScene();
  await bring(["run", "--vars", "{a: 1}", "-s", "x"]);
  assert.equal(calls.length, 1);
  assert.deepEqual(calls[0]?.args, [
    ...["--no-use-colors", "deps", "--log-path", join(workspace.base, "deps-logs"), "--vars", "{a: 1}"],
  ]);
  assert.deepEqual(calls[0]?.env, { DBT_PROFILES_DIR: "/p", HOME: "/h" });
  assert.ok(!existsSync(join(packagesDir, "a/.git")));
  await bring(["run"]);
  assert.equal(calls.length, 1);
  await bring(["run"], [entry("app/packages.yml", "1".repeat(64))]);
  assert.equal(calls.length, 2);
  rmSync(join(packagesDir, "a"), { recursive: true });
  await bring(["run"], [entry("app/packages.yml", "1".repeat(64))]);
  assert.equal(calls.length, 3);
});

test("packages that came with the project are the project's, and no others stand beside them", async () => {
  const { bring, calls, packagesDir } = createScene();
  for (const name of ["a", "b", "left-by-a-run"]) mkdirSync(join(packagesDir, name), { recursive: true });
  await bring(
    ["run"],
    ["a", "b"].map((name) => entry(`app/dbt_packages/${name}/dbt_project.yml`)),
  );
  assert.equal(calls.length, 0);
  assert.ok(!existsSync(join(packagesDir, "left-by-a-run")));
});

test("commands that need no packages install none", async () => {
  const { bring, calls } = createScene();
  for (const args of [["deps"], ["clean"], ["debug"], ["--version"], ["run", "--help"], []]) await bring(args);
  assert.equal(calls.length, 0);
});

test("a git that wants a credential is one line with the next step; dbt goes on to complain itself", async () => {
  const output = "fatal: could not read Username for 'https://github.com': terminal prompts disabled\n";
  const { bring, lines } = createScene(1, output);
  await bring(["run"]);
  assert.deepEqual(lines, [
    "dbt deps: 0 of 2 packages are installed",
    `job: ${output}`,
    "git has no credential for https://github.com: name it in packages.yml with env_var() and send it with --send-secret NAME",
  ]);
});
