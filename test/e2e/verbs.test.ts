import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { RunView } from "../../src/api/schemas/runs.ts";
import {
  cli,
  copyProject,
  KEPT_WARM,
  localDbt,
  masked,
  node,
  startServer,
  type TestServer,
  tempFolder,
} from "../harness.ts";
import { program, start } from "../programs.ts";
import { countUntil, gatedProfiles, newGate, printed, runWhen, tokenOf } from "./gated.ts";
import { filesIn } from "./written-project.ts";

let server: TestServer;
let project: string;
const env = { DBT_PROFILES_DIR: gatedProfiles };
const remote = (...args: string[]) => cli(args, { server, cwd: project, env });

before(async () => {
  server = await startServer({ home: tempFolder("home"), env: KEPT_WARM });
  project = copyProject("gated");
});
after(() => server.stop());

test("runs, logs, attach, artifacts, cancel", async () => {
  const parsed = await remote("parse");
  assert.equal(parsed.code, 0, parsed.stderr);
  const gate = newGate();
  const detached = await remote("--detach", ...countUntil(gate), "--json");
  const { id, number, url } = JSON.parse(detached.stdout) as { id: string; number: number; url: string };
  assert.equal(detached.stderr, "");
  assert.equal(url, `${server.url}/api/v1/runs/${id}`);

  // While it goes on: a follower of its log, and one that attaches.
  const options = { cwd: project, env: { ...env, DBT_SERVER_URL: server.url }, home: server.home };
  const followed = start(node, [program("cli"), "logs", "latest", "--follow"], options);
  const attached = start(node, [program("cli"), "attach", String(number)], options);
  await printed(followed, /line \d+ of a run that goes on/);
  const [running] = JSON.parse((await remote("runs", "--status", "running", "--json")).stdout) as RunView[];
  assert.equal(running?.id, id);
  const second = await remote("--detach", "parse");
  assert.match(second.stdout, /^[0-9a-f-]{36}\n$/);
  const cancelled = await remote("cancel", second.stdout.trim());
  assert.match(cancelled.stderr, /^dbt-remote: run \d+ is cancelled$/m);
  const again = await remote("cancel", second.stdout.trim());
  assert.equal(again.code, 2);
  assert.match(again.stderr, /has ended already: cancelled/);
  rmSync(join(project, "target"), { recursive: true });
  gate.open();
  const [log, attach] = await Promise.all([followed.done, attached.done]);
  assert.deepEqual([log.code, attach.code], [0, 0]);
  assert.equal(log.stdout, attach.stdout);
  assert.match(log.stdout, /counted to \d+/);
  assert.match(log.stderr, /END JOB\n$/);
  // The cancelled run is newer: this one's files must not come back.
  assert.match(attach.stderr, /target\/ is left alone: a newer run/);
  assert.ok(!existsSync(join(project, "target")));
  // As the table shows it: with a letter in it, for digits alone are a run's number.
  const shown = (await remote("runs")).stdout.match(/[0-9a-f]{8}[0-9a-f-]*/g) ?? [];
  const printedLog = await remote("logs", shown.find((prefix) => id.startsWith(prefix)) ?? "", "--quiet");
  assert.equal(printedLog.code, 0, printedLog.stderr);
  assert.equal(printedLog.stdout, log.stdout);
  assert.equal(printedLog.stderr, "");

  const table = await remote("runs");
  const lines = table.stdout.trimEnd().split("\n");
  assert.equal(lines.length, 4, table.stdout);
  assert.match(lines[1] ?? "", /^3 +[0-9a-f-]{8,} +cancelled/);
  assert.match(lines[2] ?? "", /^2 +[0-9a-f-]{8,} +success +0 .*run-operation count_until/);
  assert.match(lines[3] ?? "", /^1 +[0-9a-f-]{8,} +success +0 .*parse$/);
  const count = async (...filters: string[]) =>
    (JSON.parse((await remote("runs", "--json", ...filters)).stdout) as RunView[]).map((run) => run.number);
  assert.deepEqual(await count(), [3, 2, 1]);
  assert.deepEqual(await count("--status", "cancelled"), [3]);
  assert.deepEqual(await count("--command", "parse"), [3, 1]);
  assert.deepEqual(await count("--command", "parse", "--limit", "1"), [3]);
  assert.deepEqual(await count("--since", "1h"), [3, 2, 1]);
  assert.deepEqual(await count("--since", "2100-01-01"), []);
  assert.deepEqual(await count("--until", "2000-01-01"), []);

  const list = await remote("artifacts", "1");
  assert.match(list.stdout, /^SIZE +PATH\n/);
  assert.match(list.stdout, /^\d+ +target\/manifest\.json$/m);
  const listed = JSON.parse((await remote("artifacts", "1", "--json")).stdout) as { path: string }[];
  const folder = join(tempFolder("out"), "new");
  const fetched = await remote("artifacts", "1", "--output", folder);
  assert.equal(fetched.code, 0, fetched.stderr);
  assert.deepEqual(filesIn(folder), listed.map(({ path }) => path).sort());
  assert.ok(!filesIn(folder).some((file) => file.endsWith("partial_parse.msgpack")));
  const single = await fetch(`${server.url}/api/v1/runs/1/artifacts/target/manifest.json`, {
    headers: { authorization: `Bearer ${tokenOf(server)}` },
  });
  assert.equal(await single.text(), readFileSync(join(folder, "target", "manifest.json"), "utf8"));

  for (const verb of ["logs", "attach", "cancel", "artifacts"]) {
    const unknown = await remote(verb, "99");
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /^dbt-remote: .*99/);
  }
});

test("attach after the fact brings back what the workspace's newest run made, once", async () => {
  const detached = await remote("--detach", "parse");
  const id = detached.stdout.trim();
  await runWhen(server, id, "ended", ({ status }) => status === "success");
  rmSync(join(project, "target"), { recursive: true, force: true });
  const log = join(project, "logs", "dbt.log");
  const first = await remote("attach", "latest");
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /Performance info/);
  assert.ok(existsSync(join(project, "target", "manifest.json")));
  const size = readFileSync(log).length;
  assert.equal((await remote("attach", id)).code, 0);
  assert.equal(readFileSync(log).length, size);
  // A stranger's machine knows nothing of where its files belong.
  const stranger = await cli(["attach", id], { server, cwd: project, home: tempFolder("home") });
  assert.equal(stranger.code, 0, stranger.stderr);
  assert.match(stranger.stderr, /target\/ is left alone: it was not started here/);
});

test("--version prints dbt's own block, then this program and the server", async () => {
  const [own, local] = await Promise.all([remote("--version"), localDbt(["--version"], { home: server.home })]);
  const block = masked(local.stdout + local.stderr).trim();
  assert.equal(own.code, 0, own.stderr);
  assert.ok(masked(own.stdout).includes(block.split("\n")[0] ?? "-"), own.stdout);
  assert.match(own.stdout, /installed: \d+\.\d+/);
  assert.match(own.stdout, /^dbt-remote: \d+\.\d+\.\d+$/m);
  assert.match(own.stdout, /^dbt-server: \d+\.\d+\.\d+ at http/m);
  const alone = await cli(["--version"], { home: tempFolder("home") });
  assert.match(alone.stdout + alone.stderr, /^dbt-remote: \d+\.\d+\.\d+$/m);
});

test("of several servers on this machine one has to be chosen", async () => {
  const home = tempFolder("home");
  const [one, two] = await Promise.all([startServer({ home }), startServer({ home })]);
  try {
    const both = await cli(["runs"], { home });
    assert.equal(both.code, 2);
    assert.match(both.stderr, new RegExp(`Several servers run here: .*${one.url}`));
    assert.match(both.stderr, /Choose one: --server-url http/);
    const chosen = await cli(["runs", "--all", "--server-url", two.url, "--json"], { home });
    assert.deepEqual([chosen.code, chosen.stdout], [0, "[]\n"]);
    await one.stop();
    assert.equal((await cli(["runs"], { home })).code, 0);
  } finally {
    await Promise.all([one.stop(), two.stop()]);
  }
  const gone = await cli(["runs"], { home });
  assert.equal(gone.code, 2);
  assert.match(gone.stderr, /No dbt-server was found on this machine.*\n +Start one/);
});

/** The server's program with a clock that is ahead. */
function serverDaysAhead(days: number, args: readonly string[]) {
  const clock = `const now = Date.now; Date.now = () => now() + ${days * 86_400_000};`;
  const ahead = `data:text/javascript,${encodeURIComponent(clock)}`;
  return start(node, ["--import", ahead, program("server"), ...args, "--data-dir", server.dataDir]).done;
}

test("gc says what it would remove; the newest runs and a workspace with a DuckDB file stay", async () => {
  const soon = await serverDaysAhead(0, ["gc"]);
  assert.deepEqual([soon.code, soon.stdout], [0, "nothing to remove\n"], soon.stderr);
  const workspaces = () => readdirSync(join(server.dataDir, "workspaces"));
  const inUse = workspaces();
  const would = await serverDaysAhead(31, ["gc", "--dry-run"]);
  assert.match(would.stdout, /^would remove \d idempotency keys$/m);
  const did = await serverDaysAhead(31, ["gc"]);
  assert.match(did.stdout, /^removed \d idempotency keys$/m);
  assert.match((await serverDaysAhead(31, ["gc"])).stdout, /^nothing to remove$/m);
  assert.deepEqual(workspaces(), inUse);
  const { code, stdout } = await remote("logs", "1");
  assert.equal(code, 0);
  assert.match(stdout, /Running with dbt/);
});
