/** What takes long: limits of time, and Google out of reach in mid-run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../../harness.ts";
import { countedLines, countUntil, printed } from "../gated.ts";
import { newestRun, startSystem } from "./system.ts";

const gate = (name: string) => ({ path: name, open: () => undefined });
const whole = (text: string): string => text.slice(0, text.lastIndexOf("\n") + 1);
const isEnded = ({ status }: { readonly status: string }): boolean => status !== "pending" && status !== "running";

test("dbt is stopped before Google ends its job", { timeout: 300_000 }, async (context) => {
  const system = await startSystem(context);
  if (system === undefined) return;
  await system.server({ args: ["--job-profile", "default=dbt-remote:timeout=60s"] });
  const { code, stderr } = await system.checkout("gated").start(countUntil(gate("never"))).done;
  assert.notEqual(code, 0);
  assert.match(stderr, /Stopped 30 s before the job's own time limit of 60 s/);
  const run = await newestRun(system);
  assert.deepEqual([run.status, run.reason], ["failed", "timed_out"]);
  const [execution] = system.cloud.executions;
  assert.deepEqual(await execution?.container?.ended, { exitCode: 0, signal: null, cause: "itself" });
});

test("SIGTERM to a container: the run is cancelled, its artifacts are kept, all within ten seconds", {
  timeout: 300_000,
}, async (context) => {
  const system = await startSystem(context);
  if (system === undefined) return;
  await system.server();
  const cli = system.checkout("gated").start(countUntil(gate("never")));
  await printed(cli, /^line 3 /m);
  const run = await newestRun(system);
  const [execution] = system.cloud.executions;
  execution?.container?.stop("cancelled");
  const startedAtMs = Date.now();
  const end = await execution?.container?.ended;
  assert.equal(end?.exitCode, 0);
  assert.ok(Date.now() - startedAtMs < 9_000, `${Date.now() - startedAtMs} ms`);
  const ended = await system.runWhen("its end", run.id, isEnded);
  assert.equal(ended.status, "cancelled");
  assert.match(ended.message ?? "", /SIGTERM/);
  await cli.done;
});

test("Google out of reach for a while, for job and server alike: no line is lost, no run is", {
  timeout: 600_000,
}, async (context) => {
  const system = await startSystem(context, { behindProxies: true });
  if (system === undefined) return;
  await system.server();
  const cli = system.checkout("gated").start(countUntil(gate("late")));
  await printed(cli, /^line 3 /m);
  const run = await newestRun(system);
  for (const proxy of system.proxies) proxy.cut();
  system.cloud.fail({ of: /executions/, times: 10, as: 503 });
  await new Promise((resume) => setTimeout(resume, 30_000));
  for (const proxy of system.proxies) proxy.restore();
  const seen = countedLines(whole(cli.stdout()));
  const restoredAtMs = Date.now();
  await until("more lines", () => countedLines(whole(cli.stdout())) > seen + 20, 60_000);
  context.diagnostic(`lines came ${Date.now() - restoredAtMs} ms after the outage`);
  const cancelledAtMs = Date.now();
  await system.api().cancel(run.id, {});
  await until("dbt to be interrupted", () => /Interrupting dbt/.test(cli.stderr()), 30_000);
  context.diagnostic(`a cancellation was obeyed after ${Date.now() - cancelledAtMs} ms`);
  const { stdout } = await cli.done;
  countedLines(whole(stdout));
  assert.equal((await system.runWhen("its end", run.id, isEnded)).status, "cancelled");
});

test("State on Google Cloud with jobs in the server's own container, which are told when it goes", {
  timeout: 300_000,
}, async (context) => {
  const system = await startSystem(context);
  if (system === undefined) return;
  const server = await system.server({ args: ["--executor", "local"] });
  const { start } = system.checkout("gated");
  const built = await start(["build", "-s", "quick"]).done;
  assert.equal(built.code, 0, built.stdout + built.stderr);
  const cli = start(countUntil(gate("never")));
  await printed(cli, /^line 3 /m);
  const { id } = await newestRun(system);
  const { code } = await server.stop();
  assert.equal(code, 0);
  const run = await system.stores.runs.require(id);
  assert.equal(run.status, "cancelled");
  await system.server({ args: ["--executor", "local"] });
  await cli.done;
  assert.equal(system.cloud.executions.length, 0);
});
