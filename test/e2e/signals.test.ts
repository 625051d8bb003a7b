/** What Ctrl-C and its kin do, what becomes of a run that nobody follows, and how to come back to one. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  copyProject,
  freePort,
  KEPT_WARM,
  node,
  program,
  start,
  startServer,
  type TestServer,
  tempFolder,
  until,
} from "../harness.ts";
import { venv } from "../programs.ts";
import {
  apiOf,
  countedLines,
  countUntil,
  gatedProfiles,
  gateVars,
  isAlive,
  newCheckout,
  newestRun,
  newGate,
  PATIENCE_MS,
  printed,
  processesOf,
  requireProc,
  runOf,
  runWhen,
} from "./gated.ts";

let shared: TestServer | undefined;
async function sharedServer(): Promise<TestServer> {
  shared ??= await startServer({ home: tempFolder("home"), args: ["--max-runs", "20"], env: KEPT_WARM });
  return shared;
}
after(() => shared?.stop());

const isEnded = ({ status }: { readonly status: string }) => status !== "pending" && status !== "running";

interface RunResults {
  readonly results: readonly { readonly unique_id: string; readonly status: string }[];
}
function statuses(project: string): Record<string, string> {
  const text = readFileSync(join(project, "target", "run_results.json"), "utf8");
  return Object.fromEntries((JSON.parse(text) as RunResults).results.map((each) => [each.unique_id, each.status]));
}

test("Ctrl-C cancels as it does with dbt: the query stops, run_results.json comes back, the exit code is dbt's", async (context) => {
  if (!requireProc(context)) return;
  const server = await sharedServer();
  const checkout = newCheckout(server);
  const args = ["run", "-s", "quick", "slow", "--vars", "{slow: true}"];
  const begun = /START sql table model \S+\.slow/;

  const cli = checkout.start(args);
  const run = await runOf(server, cli, begun);
  const { dbt } = await processesOf(server, run);
  await isWorking(dbt);
  cli.kill("SIGINT");
  const remote = await cli.done;
  assert.equal(isAlive(dbt), false, "dbt goes on");
  assert.match(remote.stderr, /cancelling run \d+; once more to leave at once/);
  const ended = await runWhen(server, run.id, "ended", isEnded);
  assert.equal(ended.status, "cancelled");
  assert.match(ended.message ?? "", /^Cancelled by /);

  const localProject = copyProject("gated");
  const local = start(join(venv, "bin", "dbt"), args, {
    cwd: localProject,
    env: { DBT_PROFILES_DIR: gatedProfiles },
  });
  await printed(local, begun);
  await isWorking(local.pid);
  local.kill("SIGINT");
  const { code } = await local.done;
  assert.equal(remote.code, code);
  assert.equal(ended.exitCode, code);
  assert.deepEqual(statuses(checkout.project), statuses(localProject));
});

/** Resolves when the query is under way: one that has not begun yet is not cancelled by dbt, but begins. */
async function isWorking(pid: number): Promise<void> {
  const usedTicks = () => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = usedTicks();
  await until("the query is under way", () => usedTicks() - before > 100, PATIENCE_MS);
}

test("SIGTERM cancels too; the second signal leaves at once and says how to come back", async () => {
  const server = await sharedServer();
  const checkout = newCheckout(server);
  const cli = checkout.start(["run", "-s", "gate", ...gateVars(newGate())]);
  const run = await runOf(server, cli, /waiting at the gate/);
  cli.kill("SIGTERM");
  await printed(cli, /cancelling run/);
  cli.kill("SIGINT");
  const { stderr, code } = await cli.done;
  assert.equal(code, 130);
  assert.match(stderr, new RegExp(`dbt-remote attach ${run.id}`));
  const attached = await checkout.start(["attach", run.id]).done;
  assert.equal(attached.code, 2, attached.stderr);
  assert.match(attached.stdout, /waiting at the gate/);
  assert.equal((await apiOf(server).run(run.id)).status, "cancelled");
});

test("a closed terminal detaches; attach shows the run from its start, fetches its artifacts, exits with its code", async () => {
  const server = await sharedServer();
  const checkout = newCheckout(server);
  const gate = newGate();
  const cli = checkout.start(["run", "-s", "gate", ...gateVars(gate)]);
  const run = await runOf(server, cli, /waiting at the gate/);
  cli.kill("SIGHUP");
  const left = await cli.done;
  assert.equal(left.code, 130);
  assert.match(left.stderr, new RegExp(`run ${run.number} goes on`));
  assert.equal((await apiOf(server).run(run.id)).status, "running");
  assert.equal(existsSync(join(checkout.project, "target")), false);

  const attached = checkout.start(["attach", "latest"]);
  await printed(attached, /waiting at the gate/);
  gate.open();
  const { stdout, stderr, code } = await attached.done;
  assert.equal(code, 0, stderr);
  assert.ok(stdout.startsWith(left.stdout));
  assert.deepEqual(statuses(checkout.project), { "model.gated.gate": "success" });
});

test("a reader that goes (| head) ends nothing: the exit code is dbt's", async () => {
  const server = await sharedServer();
  const checkout = newCheckout(server);
  const gate = newGate();
  const command = [node, program("cli"), ...countUntil(gate, { then_fail: true })].map(quoted).join(" ");
  const shell = start("bash", ["-c", `${command} | head -1; echo "code \${PIPESTATUS[0]}"`], {
    cwd: checkout.project,
    home: server.home,
    env: { DBT_PROFILES_DIR: gatedProfiles, DBT_SERVER_URL: server.url },
    timeoutMs: 300_000,
  });
  await printed(shell, /Running with dbt/);
  const run = await newestRun(server);
  await runWhen(server, run.id, "running", ({ status }) => status === "running");
  gate.open();
  const { stdout, stderr } = await shell.done;
  assert.match(stdout, /^.*Running with dbt=.*\ncode 1\n$/, stderr);
  assert.equal((await runWhen(server, run.id, "ended", isEnded)).reason, "dbt_failed");
});

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

test("--cancel-on-disconnect ends a run that nobody follows any more", async () => {
  const server = await sharedServer();
  const cli = newCheckout(server).start([...countUntil(newGate()), "--cancel-on-disconnect", "4s"]);
  const run = await runOf(server, cli, /^line 3 /m);
  // It is followed: it goes on for longer than that.
  await new Promise((resolve) => setTimeout(resolve, 4_500));
  assert.equal((await apiOf(server).run(run.id)).status, "running");
  cli.kill("SIGKILL");
  await cli.done;
  const ended = await runWhen(server, run.id, "ended", isEnded);
  assert.equal(ended.status, "cancelled");
  assert.match(ended.message ?? "", /Nobody followed the run for 4 s/);
});

test("--timeout stops dbt, and says so", async () => {
  const server = await sharedServer();
  const cli = newCheckout(server).start(["run-operation", "endless", "--timeout", "3s"]);
  const { stderr, code } = await cli.done;
  const ended = await runWhen(server, (await newestRun(server)).id, "ended", isEnded);
  assert.deepEqual([ended.status, ended.reason], ["failed", "timed_out"]);
  assert.match(stderr, /failed: Stopped after 3 s \(--timeout\)/);
  assert.equal(code, 2);
});

test("--detach prints exactly the id, or with --json an object; cancel ends what runs and what waits", async () => {
  const server = await sharedServer();
  const checkout = newCheckout(server);
  const args = countUntil(newGate());
  const first = await checkout.start([...args, "--detach"]).done;
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/);
  const firstId = first.stdout.trim();
  const second = await checkout.start(["--json", ...args, "--detach"]).done;
  const { id, number, url } = JSON.parse(second.stdout) as Record<string, unknown>;
  assert.ok(typeof id === "string" && typeof number === "number" && typeof url === "string", second.stdout);
  assert.ok(url.startsWith(server.url) && url.endsWith(id));
  const waiting = await runWhen(server, id, "waiting", ({ waitingFor }) => waitingFor !== null);
  assert.deepEqual([waiting.status, waiting.waitingFor], ["pending", firstId]);

  const cancelled = await checkout.start(["cancel", "latest"]).done;
  assert.deepEqual([cancelled.code, cancelled.stdout], [0, ""]);
  assert.match(cancelled.stderr, new RegExp(`run ${number} is cancelled`));
  const attached = await checkout.start(["attach", id]).done;
  assert.deepEqual([attached.code, attached.stdout], [2, ""]);

  await runWhen(server, firstId, "running", ({ status }) => status === "running");
  const asked = await checkout.start(["cancel", firstId.slice(0, 8)]).done;
  assert.deepEqual([asked.code, asked.stdout], [0, ""], asked.stderr);
  assert.match(asked.stderr, /has been asked to stop/);
  assert.equal((await runWhen(server, firstId, "ended", isEnded)).status, "cancelled");
});

test("a connection that is lost for good: exit code 75 with the line to type, which works", async (context) => {
  const home = tempFolder("home");
  const server = await startServer({ home });
  const { dataDir, port } = server;
  const checkout = newCheckout(server);
  const gate = newGate();
  const cli = checkout.start([...countUntil(gate), "--reconnect-timeout", "2s"]);
  const run = await runOf(server, cli, /^line 3 /m);
  server.kill("SIGKILL");
  const { stderr, code } = await cli.done;
  assert.equal(code, 75, stderr);
  const line = /^ {2}dbt-remote (attach \S+)$/m.exec(stderr)?.[1];
  assert.equal(line, `attach ${run.id}`, stderr);

  const next = await startServer({ home, dataDir, port });
  context.after(() => next.stop());
  gate.open();
  const attached = await checkout.start((line ?? "").split(" ")).done;
  assert.equal(attached.code, 0, attached.stderr);
  assert.match(attached.stdout, new RegExp(`^counted to ${countedLines(attached.stdout) - 1}$`, "m"));
});

test("Ctrl-C during the upload posts nothing", async (context) => {
  const token = "a-token-of-enough-characters";
  // Its Host header may be any: what stands in between has a port of its own.
  const server = await startServer({
    home: tempFolder("home"),
    args: ["--auth", "token"],
    env: { DBT_SERVER_TOKEN: token },
  });
  context.after(() => server.stop());
  const stall = await stallingProxy(server.port, "POST /api/v1/packs");
  context.after(stall.close);
  const cli = newCheckout(undefined).start(["parse"], {
    home: tempFolder("home"),
    env: { DBT_SERVER_URL: `http://127.0.0.1:${stall.port}`, DBT_SERVER_TOKEN: token },
  });
  await stall.stalled;
  cli.kill("SIGINT");
  const { stdout, stderr, code } = await cli.done;
  assert.deepEqual([code, stdout], [130, ""]);
  assert.match(stderr, /Interrupted before the run was posted: nothing was started/);
  const answer = await fetch(`${server.url}/api/v1/runs`, { headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual(await answer.json(), { runs: [], nextBefore: null });
});

/** Passes bytes on until a request begins with `mark`: from then on nothing gets through. */
async function stallingProxy(to: number, mark: string) {
  const sockets = new Set<Socket>();
  let reached = (): void => {};
  const stalled = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const port = await freePort();
  const proxy = createServer((client) => {
    const upstream = connect(to, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => sockets.delete(socket));
    }
    client.on("data", (bytes) => {
      if (bytes.toString("latin1").startsWith(mark)) {
        client.removeAllListeners("data");
        reached();
      } else upstream.write(bytes);
    });
    upstream.pipe(client);
    client.on("close", () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(port, "127.0.0.1", resolve));
  const close = (): void => {
    proxy.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port, stalled, close };
}
