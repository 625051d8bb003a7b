/** What may be wrong with the machine: each error names the value and the next step, and shows no stack. */
import assert from "node:assert/strict";
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import {
  leftovers,
  machineNode,
  node,
  type Program,
  program,
  type Result,
  start,
  startServer,
  tempFolder,
  until,
} from "../harness.ts";
import { python } from "../programs.ts";
import { requirePart } from "../require.ts";
import { apiOf, countUntil, isAlive, newCheckout, newGate, PATIENCE_MS, processesOf, runOf, runWhen } from "./gated.ts";
import { canMountSmallDisk, startOnSmallDisk, startServerOnSmallDisk } from "./small-disk.ts";

function dbtServer(args: readonly string[], command = node): Program {
  const home = tempFolder("home");
  return start(command, [program("server"), "--python", python, ...args], { home, timeoutMs: 60_000 });
}

/** It ended by itself, with what each of the patterns finds on stderr, and without a stack. */
function assertRefused({ stderr, stdout, code }: Result, ...patterns: RegExp[]): void {
  assert.equal(code, 2, stderr);
  assert.equal(stdout, "");
  for (const pattern of patterns) assert.match(stderr, pattern);
  assertNoStack(stderr);
}

function assertNoStack(text: string): void {
  assert.doesNotMatch(text, /^\s+at .+:\d+/m);
  assert.doesNotMatch(text, /node:internal|Traceback/);
}

test("port in use", async (context) => {
  const other = createServer();
  const port = await new Promise<number>((resolve) => {
    other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port));
  });
  context.after(() => other.close());
  const result = await dbtServer(["--port", String(port), "--data-dir", tempFolder("data")]).done;
  assertRefused(
    result,
    new RegExp(`Port ${port} of 127\\.0\\.0\\.1 is in use`),
    new RegExp(`dbt-server --port ${port + 1}`),
  );
});

test("two servers on one data folder, and a data folder that is damaged, too new or not writable", async (context) => {
  const server = await startServer({ home: tempFolder("home") });
  context.after(() => server.stop());
  const { dataDir, pid, url } = server;
  const refuse = async (...patterns: RegExp[]) =>
    assertRefused(await dbtServer(["--port", "0", "--data-dir", dataDir]).done, ...patterns);
  await refuse(new RegExp(`process ${pid}, ${url}`), new RegExp(dataDir), /--data-dir/);
  assert.equal((await fetch(`${url}/check`)).status, 200);
  await server.stop();

  const database = join(dataDir, "state.db");
  const db = new DatabaseSync(database);
  db.exec("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)");
  db.close();
  await refuse(/state\.db has schema version 99/, /Use the newer dbt-server/);
  for (const name of ["state.db-wal", "state.db-shm"]) rmSync(join(dataDir, name), { force: true });
  writeFileSync(database, "this is no database ".repeat(500));
  await refuse(new RegExp(`${database} is damaged`), /mv '.*state\.db'/);

  const file = join(tempFolder("t"), "file");
  writeFileSync(file, "");
  for (const path of [file, join(file, "below")]) {
    const result = await dbtServer(["--port", "0", "--data-dir", path]).done;
    assertRefused(result, /The data folder can't be used/, new RegExp(path), /--data-dir/);
  }
});

test("a data folder that may only be read", async (context) => {
  const folder = tempFolder("readonly");
  if (process.getuid?.() === 0) {
    // Modes mean nothing to root: it takes a mount that refuses writes.
    if (!requirePart(context, "unshare", canMountSmallDisk(), "it takes a mount to refuse writes to root")) return;
    const server = startOnSmallDisk({ folder, megabytes: 1, isReadOnly: true });
    assertRefused(await server.done, /The data folder can't be used/, new RegExp(folder), /--data-dir/);
    return;
  }
  chmodSync(folder, 0o500);
  const result = await dbtServer(["--port", "0", "--data-dir", folder]).done;
  assertRefused(result, /The data folder can't be used/, new RegExp(folder), /--data-dir/);
});

test("a record that is damaged spoils nothing but itself", async (context) => {
  const home = tempFolder("home");
  const first = await startServer({ home });
  const checkout = newCheckout(first);
  const start = async () => (await checkout.start(["parse", "--detach"]).done).stdout.trim();
  const [broken, whole] = [await start(), await start()];
  await apiOf(first).cancel(whole);
  await apiOf(first).cancel(broken);
  await runWhen(first, broken, "ended", ({ finishedAt }) => finishedAt !== null);
  await first.stop();
  // The job that was told to stop may be writing its last.
  await until("the end of the jobs", () => leftovers(first.dataDir).length === 0);
  const database = join(first.dataDir, "state.db");
  const db = new DatabaseSync(database, { timeout: 10_000 });
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  db.close();
  const bytes = readFileSync(database);
  for (let at = bytes.indexOf(`{"id":"${broken}"`); at >= 0; at = bytes.indexOf(`{"id":"${broken}"`, at))
    bytes[at] = 0x23;
  writeFileSync(database, bytes);

  const server = await startServer({ home, dataDir: first.dataDir });
  context.after(() => server.stop());
  assert.equal((await apiOf(server).run(whole)).status, "cancelled");
  await assert.rejects(apiOf(server).run(broken), (error: Error & { code?: string; hint?: string }) => {
    assert.equal(error.code, "state_corrupt");
    assert.match(`${error.message} ${error.hint}`, new RegExp(`${database}.*is damaged.*mv `));
    return true;
  });
  const { stderr, code } = await checkout.start(["logs", broken], { server }).done;
  assert.equal(code, 2);
  assert.match(stderr, /is damaged/);
  assertNoStack(stderr + server.stderr());
});

test("no dbt: the server starts and says so, and each command is refused with the next step", async (context) => {
  const server = await startServer({ home: tempFolder("home"), args: ["--python", "/nonexistent/python"] });
  context.after(() => server.stop());
  const { stdout, stderr, code } = await newCheckout(server).start(["run"]).done;
  assert.deepEqual([code, stdout], [2, ""]);
  assert.match(stderr, /No Python with dbt Core was found\. Tried: \/nonexistent\/python/);
  assert.match(stderr, /--python PATH/);
  assertNoStack(stderr + server.stderr());
  assert.match(server.stderr(), /No Python with dbt Core was found/);
});

test("the profile's adapter is not installed", async (context) => {
  const server = await startServer({ home: tempFolder("home") });
  context.after(() => server.stop());
  const profiles = tempFolder("profiles");
  const output = { type: "snowflake", account: "a", user: "u", database: "d", schema: "s" };
  writeFileSync(join(profiles, "profiles.yml"), JSON.stringify({ gated: { target: "dev", outputs: { dev: output } } }));
  const cli = newCheckout(server).start(["run"], { env: { DBT_PROFILES_DIR: profiles } });
  const { stdout, stderr, code } = await cli.done;
  assert.deepEqual([code, stdout], [2, ""]);
  assert.match(stderr, /adapter "snowflake", which .*python lacks/);
  assert.match(stderr, /-m pip install dbt-snowflake/);
  assertNoStack(stderr);
});

test("a Node that is too old for the server is named, with the one that is needed", async (context) => {
  const old = machineNode();
  const version = (await start(old, ["--version"]).done).stdout.trim();
  if (Number.parseInt(version.slice(1), 10) >= 24) return context.diagnostic(`this machine's Node ${version} will do`);
  const result = await dbtServer(["--data-dir", tempFolder("data")], old).done;
  assertRefused(result, new RegExp(`needs Node 24 or newer, this is ${version}`), /Install Node 24/);
});

test("disk full: posts are refused, the run under way ends with that reason; with room again, all goes on", async (context) => {
  if (!requirePart(context, "unshare", canMountSmallDisk(), "it takes a small mount of its own")) return;
  const server = await startServerOnSmallDisk({ folder: tempFolder("disk"), megabytes: 48 });
  context.after(() => server.stop());
  const checkout = newCheckout(server);
  const gate = newGate();
  const cli = checkout.start(countUntil(gate));
  const run = await runOf(server, cli, /^line 3 /m);
  server.fill();
  const refused = await newCheckout(server).start(["ls"]).done;
  assert.deepEqual([refused.code, refused.stdout], [2, ""]);
  assert.match(refused.stderr, /No space left/);
  assert.match(refused.stderr, /Free space on the disk of .*dbt-server gc/);
  assertNoStack(refused.stderr);

  const { dbt } = await processesOf(server, run);
  await until("dbt is stopped", () => !isAlive(dbt), PATIENCE_MS);
  server.empty();
  const { stderr, code } = await cli.done;
  assert.equal(code, 2, stderr);
  const ended = await apiOf(server).run(run.id);
  assert.match(stderr, /failed: .*No space/);
  assert.deepEqual([ended.status, ended.reason], ["failed", "job_failed"]);
  gate.open();
  const next = await checkout.start(countUntil(gate)).done;
  assert.equal(next.code, 0, next.stderr);
  assertNoStack(server.stderr());
});
