import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { freePort, node, program, start, startServer, type TestServer, tempFolder } from "../../test/harness.ts";
import { AppError } from "../core/errors.ts";
import { checkNode } from "./node-version.ts";

function registration(server: TestServer): { url: string; token: string; pid: number } {
  const file = join(server.home, ".local", "state", "dbt-remote", "servers", `${server.port}.json`);
  return JSON.parse(readFileSync(file, "utf8"));
}

function ask(server: TestServer, path: string): Promise<Response> {
  return fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${registration(server).token}` } });
}

const dbtServer = (args: readonly string[], home = tempFolder("home")) =>
  start(node, [program("server"), ...args], { home }).done;

test("starts, says whom to trust, serves, and goes when told to", async () => {
  const server = await startServer({ home: tempFolder("home") });
  const { token, url, pid } = registration(server);
  assert.equal(url, server.url);
  assert.equal(pid, server.pid);
  assert.equal((await ask(server, "/api/v1/runs")).status, 200);
  assert.equal((await fetch(`${url}/api/v1/runs`)).status, 401);
  const { dbt } = (await (await ask(server, "/api/v1/server")).json()) as {
    dbt: { version: string; adapters: string[] };
  };
  assert.match(dbt.version, /^1\./);
  assert.ok(dbt.adapters.includes("duckdb"));
  const { code, stdout, stderr } = await server.stop();
  assert.equal(code, 0);
  assert.match(stdout, new RegExp(`on ${url}\n`));
  assert.match(stdout, /Trust: a project's code can read what this account can/);
  assert.ok(!`${stdout}${stderr}`.includes(token));
  assert.deepEqual(readdirSync(join(server.home, ".local", "state", "dbt-remote", "servers")), []);
});

test("a second server on the same port or the same data folder is refused with the reason", async () => {
  const server = await startServer({ home: tempFolder("home") });
  try {
    const samePort = await dbtServer(["--port", String(server.port), "--data-dir", tempFolder("data")]);
    assert.equal(samePort.code, 2);
    assert.match(samePort.stderr, /Port \d+ of 127\.0\.0\.1 is in use\.\nTake another: dbt-server --port/);
    const sameData = await dbtServer(["--port", "0", "--data-dir", server.dataDir]);
    assert.equal(sameData.code, 2);
    assert.match(sameData.stderr, new RegExp(`Another dbt-server \\(process ${server.pid}, ${server.url}\\)`));
    assert.equal((await ask(server, "/check")).status, 200);
    const gc = await dbtServer(["gc", "--dry-run", "--data-dir", server.dataDir]);
    assert.deepEqual([gc.code, gc.stdout], [0, "nothing to remove\n"]);
  } finally {
    await server.stop();
  }
});

test("a killed server comes back under the same token", async () => {
  const [home, port, dataDir] = [tempFolder("home"), await freePort(), tempFolder("data")];
  const first = await startServer({ home, port, dataDir });
  const { token } = registration(first);
  first.kill("SIGKILL");
  await first.done;
  const second = await startServer({ home, port, dataDir });
  assert.equal(registration(second).token, token);
  await second.stop();
});

test("without dbt it starts, and says so to whoever posts", async () => {
  const server = await startServer({ home: tempFolder("home"), args: ["--python", "/nowhere/python"] });
  try {
    const response = await fetch(`${server.url}/api/v1/runs`, {
      method: "POST",
      headers: { authorization: `Bearer ${registration(server).token}`, "content-type": "application/json" },
      body: JSON.stringify({ command: ["run"], files: [{ path: "dbt_project.yml", contentBase64: "" }] }),
    });
    assert.equal(response.status, 503);
    const { error } = (await response.json()) as { error: { code: string; hint: string } };
    assert.equal(error.code, "dbt_not_found");
    assert.match(error.hint, /pip install/);
  } finally {
    const { stderr } = await server.stop();
    assert.match(stderr, /No Python with dbt Core was found.*\/nowhere\/python/);
  }
});

test("what it cannot use is an error with the next step", async () => {
  const folder = tempFolder("data");
  writeFileSync(join(folder, "file"), "");
  const cases: [string[], RegExp][] = [
    [["--frobnicate"], /does not know "--frobnicate"\.\nSee: dbt-server --help/],
    [["--port", "0", "--data-dir", join(folder, "file")], /data folder.*\n.*--data-dir/],
    [["--port", "0", "--host", "192.0.2.1", "--auth", "token"], /DBT_SERVER_TOKEN is not set/],
  ];
  for (const [args, pattern] of cases) {
    const { code, stderr } = await dbtServer(args);
    assert.equal(code, 2, args.join(" "));
    assert.match(stderr, pattern);
    assert.ok(!/\n\s+at /.test(stderr), stderr);
  }
  const help = await dbtServer(["--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^Usage: dbt-server/);
  assert.match((await dbtServer(["--version"])).stdout, /^\d+\.\d+\.\d+\n$/);
});

test("an older Node is told which one is needed", () => {
  checkNode("v24.0.0");
  checkNode("v25.1.0");
  for (const version of ["v20.18.1", "v22.13.0"]) {
    assert.throws(
      () => checkNode(version),
      (error) => error instanceof AppError && error.code === "node_too_old" && error.message.includes(version),
    );
  }
});

test("gc removes workspaces that hold nothing of their own, and keeps the others", async () => {
  const dataDir = tempFolder("data");
  const old = new Date(Date.now() - 30 * 86_400_000);
  const { utimesSync } = await import("node:fs");
  const place = (key: string, file: string): string => {
    const folder = join(dataDir, "workspaces", key.repeat(64), "1", "tree");
    mkdirSync(join(folder, file, ".."), { recursive: true });
    writeFileSync(join(folder, file), "");
    utimesSync(join(dataDir, "workspaces", key.repeat(64)), old, old);
    return folder;
  };
  const empty = place("a", "target/manifest.json");
  const warehouse = place("b", "data/w.duckdb");
  const { code, stdout } = await dbtServer(["gc", "--data-dir", dataDir]);
  assert.equal(code, 0);
  assert.match(stdout, /removed 1 workspaces/);
  assert.equal(existsSync(empty), false);
  assert.equal(existsSync(warehouse), true);
});
