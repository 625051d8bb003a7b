/** Kills each of the programs in mid-run: what was acknowledged stays, and every run comes to a true end. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { startServer, type TestServer, tempFolder, until } from "../harness.ts";
import {
  apiOf,
  countedLines,
  countUntil,
  gateVars,
  isAlive,
  newCheckout,
  newGate,
  PATIENCE_MS,
  printed,
  processesOf,
  requireProc,
  runOf,
  runWhen,
  storedStdout,
} from "./gated.ts";

let shared: TestServer | undefined;
async function sharedServer(): Promise<TestServer> {
  shared ??= await startServer({ home: tempFolder("home") });
  return shared;
}
after(() => shared?.stop());

test("kill -9 of the server: the job goes on, and the CLI finds the next server on the same port and on another", async (context) => {
  if (!requireProc(context)) return;
  const home = tempFolder("home");
  const gate = newGate();
  const first = await startServer({ home });
  const { dataDir, port } = first;
  // No server is named: the CLI looks for one of this user on this machine.
  const cli = newCheckout(undefined, home).start(countUntil(gate));
  const run = await runOf(first, cli, /^line 3 /m);
  const { job } = await processesOf(first, run);

  first.kill("SIGKILL");
  await first.done;
  await printed(cli, /connection lost/);
  assert.ok(isAlive(job), "the job has died with its server");
  const second = await startServer({ home, dataDir, port });
  const seen = countedLines(wholeLines(cli.stdout()));
  await until("more lines", () => countedLines(wholeLines(cli.stdout())) > seen + 5, PATIENCE_MS);
  assert.match(cli.stderr(), /connected again/);

  second.kill("SIGKILL");
  await second.done;
  const third = await startServer({ home, dataDir });
  context.after(() => third.stop());
  assert.notEqual(third.port, port);
  const seenThen = countedLines(wholeLines(cli.stdout()));
  await until("more lines", () => countedLines(wholeLines(cli.stdout())) > seenThen + 5, PATIENCE_MS);
  gate.open();

  const { stdout, stderr, code } = await cli.done;
  assert.equal(code, 0, stderr);
  const lines = countedLines(stdout);
  assert.match(stdout, new RegExp(`^counted to ${lines - 1}$`, "m"));
  const ended = await runWhen(third, run.id, "success", ({ status }) => status !== "running");
  assert.equal(ended.status, "success");
  assert.equal(stdout, await storedStdout(third, run.id));
});

test("kill -9 of server and job: the next server calls the run lost, and says so to who followed it", async (context) => {
  if (!requireProc(context)) return;
  const home = tempFolder("home");
  const server = await startServer({ home });
  const { dataDir, port } = server;
  const cli = newCheckout(server).start(countUntil(newGate()));
  const run = await runOf(server, cli, /^line 3 /m);
  const { job, dbt } = await processesOf(server, run);
  for (const pid of [server.pid, job, dbt]) process.kill(pid, "SIGKILL");
  await server.done;

  const next = await startServer({ home, dataDir, port });
  context.after(() => next.stop());
  const { stdout, stderr, code } = await cli.done;
  assert.equal(code, 2);
  assert.match(stderr, /failed: .*gone/);
  const ended = await apiOf(next).run(run.id);
  assert.deepEqual([ended.status, ended.reason, ended.exitCode], ["failed", "lost", null]);
  assert.ok(countedLines(stdout) > 3);
  assert.equal(stdout, await storedStdout(next, run.id));
});

test("kill -9 of dbt: failed with the reason, log and artifacts kept, exit code 137", async (context) => {
  if (!requireProc(context)) return;
  const server = await sharedServer();
  const checkout = newCheckout(server);
  const cli = checkout.start(["run", "-s", "gate", ...gateVars(newGate())]);
  const run = await runOf(server, cli, /waiting at the gate/);
  const { dbt } = await processesOf(server, run);
  const killedAt = Date.now();
  process.kill(dbt, "SIGKILL");

  const { stdout, stderr, code } = await cli.done;
  assert.equal(code, 137);
  assert.match(stderr, /dbt was killed by SIGKILL/);
  const ended = await runWhen(server, run.id, "ended", ({ status }) => status !== "running");
  assert.ok(Date.now() - killedAt < 30_000);
  assert.deepEqual([ended.status, ended.reason, ended.exitCode], ["failed", "dbt_killed", 137]);
  assert.equal(stdout, await storedStdout(server, run.id));
  const { artifacts } = await apiOf(server).artifacts(run.id);
  const paths = artifacts.map(({ path }) => path);
  for (const path of ["logs/dbt.log", "target/manifest.json"]) {
    assert.ok(paths.includes(path), `${path} is not among ${paths}`);
    assert.ok(existsSync(join(checkout.project, path)), `${path} was not brought back`);
  }
  assert.match(readFileSync(join(checkout.project, "logs", "dbt.log"), "utf8"), /Running with dbt/);
});

test("kill -9 of the job: what was shipped can be read, dbt ends too, and the next run has its turn", async (context) => {
  if (!requireProc(context)) return;
  const server = await sharedServer();
  const checkout = newCheckout(server);
  const cli = checkout.start(countUntil(newGate()));
  const run = await runOf(server, cli, /^line 3 /m);
  const { job, dbt } = await processesOf(server, run);
  const open = newGate();
  open.open();
  const next = checkout.start(countUntil(open));
  await printed(next, /is waiting for run/);
  process.kill(job, "SIGKILL");

  const { stdout, stderr, code } = await cli.done;
  assert.equal(code, 2);
  assert.match(stderr, /The job was killed \(SIGKILL\)/);
  const ended = await apiOf(server).run(run.id);
  assert.deepEqual([ended.status, ended.reason], ["failed", "job_failed"]);
  assert.ok(countedLines(wholeLines(stdout)) > 3);
  assert.equal(stdout, await storedStdout(server, run.id));
  const { nextOffset } = await apiOf(server).log(run.id, { offset: 0 });
  assert.ok(nextOffset > 0);
  const { code: nextCode, stdout: nextOut, stderr: nextErr } = await next.done;
  assert.equal(nextCode, 0, nextOut + nextErr);
  await until("dbt has ended", () => !isAlive(dbt), 20_000);
});

test("SIGTERM to the job cancels its run: dbt ends as on Ctrl-C, what it made is kept", async (context) => {
  if (!requireProc(context)) return;
  const server = await sharedServer();
  const checkout = newCheckout(server);
  const cli = checkout.start(["run", "-s", "gate", ...gateVars(newGate())]);
  const run = await runOf(server, cli, /waiting at the gate/);
  process.kill((await processesOf(server, run)).job, "SIGTERM");
  const { stderr, code } = await cli.done;
  const ended = await runWhen(server, run.id, "ended", ({ status }) => status !== "running");
  assert.equal(ended.status, "cancelled");
  assert.match(ended.message ?? "", /SIGTERM/);
  assert.equal(code, 2, stderr);
  assert.ok(existsSync(join(checkout.project, "target", "manifest.json")));
});

/** Without a line that is still on its way. */
function wholeLines(text: string): string {
  return text.slice(0, text.lastIndexOf("\n") + 1);
}
