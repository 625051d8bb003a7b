/** What the CLI does on this machine alone, whatever servers there are. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cli, tempFolder } from "../harness.ts";
import { writeFiles } from "./written-project.ts";

test("config shows, gets, sets and deletes, for the user and for the project", async () => {
  const home = tempFolder("home");
  const folder = writeFiles({
    "dbt_project.yml": "name: x\n",
    "dbt_remote.yml": "# kept\nworkspace: team # of the project\n",
  });
  const config = (...args: string[]) => cli(["config", ...args], { home, cwd: folder });
  assert.equal((await config("set", "timeout", "10m")).code, 0);
  assert.equal((await config("get", "timeout", "--json")).stdout, "600000\n");
  assert.equal((await config("get", "workspace")).stdout, "team\n");
  await config("set", "workspace", "mine", "--project");
  await config("set", "env", "A,B", "--project");
  assert.equal(
    readFileSync(join(folder, "dbt_remote.yml"), "utf8"),
    "# kept\nworkspace: mine # of the project\nenv:\n  - A\n  - B\n",
  );
  const shown = await config("show");
  assert.match(shown.stdout, /^workspace +mine +\S+dbt_remote\.yml$/m);
  assert.match(shown.stdout, /^timeout +\S+ +\S+config\.yml$/m);
  await config("delete", "timeout");
  assert.equal((await config("get", "timeout")).stdout, "\n");
  const wrong = await config("set", "timeout", "soon");
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /soon.*timeout/);
  const unknown = await config("set", "nonsense", "1");
  assert.match(unknown.stderr, /no key nonsense/);
  assert.match((await config("nonsense")).stderr, /config takes show/);
  const token = await cli(["config", "show"], { home, cwd: folder, env: { DBT_SERVER_TOKEN: "planted-token-123" } });
  assert.doesNotMatch(token.stdout, /planted-token/);
});

test("a project's server_url counts only after the user has agreed", async () => {
  const home = tempFolder("home");
  const folder = writeFiles({
    "dbt_project.yml": "name: x\n",
    "dbt_remote.yml": "server_url: https://dbt.example.test\n",
  });
  const options = { home, cwd: folder, env: { DBT_SERVER_TOKEN: "t".repeat(20) } };
  const refused = await cli(["runs"], options);
  assert.equal(refused.code, 2);
  assert.match(
    refused.stderr,
    /dbt_remote\.yml says server_url: https:\/\/dbt\.example\.test, which you have not agreed/,
  );
  assert.match(refused.stderr, /--trust-project-config/);
  assert.match((await cli(["config", "show"], options)).stdout, /not trusted yet/);
  // Agreed to once, it is remembered; that nobody answers there is another matter.
  const agreed = await cli(["runs", "--trust-project-config"], { ...options, timeoutMs: 60_000 });
  assert.match(agreed.stderr, /dbt\.example\.test/);
  assert.doesNotMatch(agreed.stderr, /agreed/);
  assert.doesNotMatch((await cli(["config", "show"], options)).stdout, /not trusted yet/);
});

test("completion in bash", async () => {
  const { stdout } = await cli(["completion", "bash"]);
  const complete = (...words: string[]) => {
    const script = `${stdout}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _dbt_remote; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout: printed, stderr } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
    assert.equal(stderr, "");
    return printed.split("\n").filter(Boolean);
  };
  assert.deepEqual(complete("dbt-remote", "bu"), ["build"]);
  assert.ok(complete("dbt-remote", "").includes("artifacts"));
  assert.deepEqual(complete("dbt-remote", "build", "--full"), ["--full-refresh"]);
  assert.ok(complete("dbt-remote", "build", "--det").includes("--detach"));
  assert.deepEqual(complete("dbt-remote", "docs", "gen"), ["generate"]);
  assert.ok(complete("dbt-remote", "docs", "generate", "--emp").includes("--empty-catalog"));
  assert.deepEqual(complete("dbt-remote", "config", "s"), ["show", "set"]);
  assert.ok(complete("dbt-remote", "runs", "--st").includes("--status"));
  for (const shell of ["zsh", "fish"]) assert.match((await cli(["completion", shell])).stdout, /dbt-remote/);
  assert.equal((await cli(["completion", "csh"])).code, 2);
});

test("--help at every level needs no server", async () => {
  const help = async (...args: string[]) => {
    const { code, stdout, stderr } = await cli(args, { home: tempFolder("home"), cwd: tempFolder("empty") });
    assert.deepEqual([code, stderr], [0, ""]);
    return stdout;
  };
  const [root, build, docs, generate, runs, config] = await Promise.all([
    help("--help"),
    help("build", "--help"),
    help("docs", "-h"),
    help("docs", "generate", "--help"),
    help("runs", "--help"),
    help("config", "-h"),
  ]);
  assert.match(root, /source freshness.*\n[\s\S]*Commands of dbt-remote:[\s\S]*artifacts RUN/);
  assert.match(build, /--full-refresh[\s\S]*anywhere on the line:[\s\S]*--detach/);
  assert.match(docs, /docs generate/);
  assert.match(generate, /--empty-catalog/);
  assert.match(runs, /--status STATUS/);
  assert.match(config, /get KEY/);
  assert.equal(await help(), root);
});

test("init and docs serve run the dbt of this machine, or say plainly what to do", async () => {
  const tools = tempFolder("bin");
  for (const name of ["node", "sh", "env"])
    symlinkSync(spawnSync("which", [name], { encoding: "utf8" }).stdout.trim(), join(tools, name));
  const bare = { cwd: tempFolder("empty"), env: { PATH: tools } };
  const serve = await cli(["docs", "serve", "--port", "1"], bare);
  assert.equal(serve.code, 2);
  assert.match(serve.stderr, /works on this machine, and no dbt is installed here\.\n.*docs generate --static/);
  const init = await cli(["init"], bare);
  assert.match(init.stderr, /pip install/);
  writeFileSync(join(tools, "dbt"), `#!/bin/sh\necho "local dbt: $*"; exit 3\n`, { mode: 0o755 });
  const local = await cli(["--quiet", "docs", "serve", "--port", "8080"], bare);
  assert.deepEqual([local.code, local.stdout], [3, "local dbt: --quiet docs serve --port 8080\n"]);
});
