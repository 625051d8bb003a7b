/** How warm runs and their parents end, and what runs where there is no parent. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { root, tempFolder } from "../../test/folders.ts";
import { node, until } from "../../test/programs.ts";
import { collect, environment, isBusy, type Outcome, openWarm, run, type Warm, warmEngine } from "../../test/warm.ts";
import { type Project, skip, tiny, WARM, warmForAll, write } from "../../test/warm-projects.ts";
import type { DbtProcess } from "./port.ts";
import { stopDbt } from "./stop.ts";

const SLOW = `{{ config(materialized='table') }}
select sum(a.range * b.range) as it from range(10000000) a, range(1000000) b`;

let warm: Warm;
warmForAll((opened) => {
  warm = opened;
});

/** Starts a run and waits until dbt is at the slow model. */
async function startSlow(
  engine: Warm["engine"],
  project: Project,
): Promise<{ dbt: DbtProcess; outcome: Promise<Outcome> }> {
  write(project, "models/slow.sql", SLOW);
  const dbt = await engine.start({ args: ["run", "-s", "slow"], ...project });
  const started = new Promise((resolve) => {
    let text = "";
    dbt.stdout.on("data", (chunk: Buffer) => {
      text += chunk;
      if (text.includes("START")) resolve(text);
    });
  });
  const outcome = collect(dbt);
  await Promise.race([started, outcome]);
  // A Ctrl-C between this line and the query's begin cancels nothing, warm or not.
  await isBusy(dbt.pid);
  return { dbt, outcome };
}

test("SIGINT cancels: exit 2 and run_results.json; SIGKILL of dbt is told as such", { skip }, async () => {
  const [interrupted, killed] = [tiny(), tiny()];
  const one = await startSlow(warm.engine, interrupted);
  const { step, exit } = await stopDbt(one.dbt, { graceMs: 30_000, termMs: 5_000 });
  assert.deepEqual({ step, exit }, { step: "SIGINT", exit: { code: 2, signal: null } });
  assert.ok(existsSync(join(interrupted.cwd, "target/run_results.json")));
  assert.equal(one.dbt.signal("SIGINT"), false);

  const other = await startSlow(warm.engine, killed);
  process.kill(other.dbt.pid, "SIGKILL");
  const { code, signal } = await other.outcome;
  assert.deepEqual({ code, signal }, { code: null, signal: "SIGKILL" });
});

test("dbt is stopped with the job that started it", { skip }, async () => {
  const project = tiny();
  write(project, "models/slow.sql", SLOW);
  const program = join(tempFolder("job"), "job.ts");
  writeFileSync(
    program,
    `import { warmEngine } from ${JSON.stringify(join(root, "test/warm.ts"))};
     const engine = warmEngine(${JSON.stringify({ socketPath: warm.parent.socketPath })}, []);
     const dbt = await engine.start(${JSON.stringify({ args: ["run", "-s", "slow"], ...project })});
     dbt.stdout.on("data", (chunk) => String(chunk).includes("START") && console.log(dbt.pid));
     dbt.stderr.resume(); dbt.events.resume();`,
  );
  const job = spawn(node, [program], { stdio: ["ignore", "pipe", "inherit"] });
  const pid = Number(await new Promise((resolve) => job.stdout.once("data", resolve)));
  await isBusy(pid);
  job.kill("SIGKILL");
  await until("the end of dbt", () => !isRunning(pid));
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test("a parent that is killed in mid-run takes no run with it, and the next is cold", { skip }, async (context) => {
  const mortal = openWarm();
  context.after(() => mortal.close());
  const project = tiny();
  const { dbt, outcome } = await startSlow(mortal.engine, project);
  assert.match(mortal.news()[0] ?? "", WARM);
  process.kill(mortal.parent.pid ?? 0, "SIGKILL");
  await mortal.parent.ended;
  assert.equal(dbt.signal("SIGINT"), true);
  const { code, signal, stdout } = await outcome;
  assert.deepEqual({ code, signal }, { code: 2, signal: null }, stdout);
  assert.match(stdout, /Exited because of keyboard interrupt|CANCEL|Done\./);
  const next = await run(mortal.engine, { args: ["ls", "-s", "names"], ...project });
  assert.equal(next.code, 0);
  assert.match(mortal.news()[0] ?? "", /^dbt runs in a new process/);
});

test("where the parent cannot run it, dbt is started as a new process, with the reason told", {
  skip,
}, async (context) => {
  const project = tiny();
  const folder = tempFolder("sockets");
  const notes: string[] = [];
  const silent = createServer();
  context.after(() => silent.close());
  await new Promise<void>((resolve) => silent.listen(join(folder, "silent"), resolve));
  const cases = [
    {
      engine: warmEngine({ socketPath: join(folder, "nobody") }, notes, 200),
      env: project.env,
      reason: /no answer in 200 ms/,
    },
    {
      engine: warmEngine({ socketPath: join(folder, "silent") }, notes, 200),
      env: project.env,
      reason: /no answer in 200 ms/,
    },
    { engine: warmEngine({ socketPath: join(folder, "gone", "s") }, notes), env: project.env, reason: /ENOENT/ },
    {
      engine: warmEngine(warm.parent, notes),
      env: { ...project.env, TZ: "Asia/Tokyo" },
      reason: /TZ is not what it was/,
    },
    { engine: warmEngine(warm.parent, notes), env: { ...project.env, PYTHONUTF8: "1" }, reason: /PYTHONUTF8 is not/ },
  ];
  await Promise.all(
    cases.map(async ({ engine, env, reason }) => {
      const outcome = await run(engine, { args: ["deps"], cwd: project.cwd, env });
      assert.equal(outcome.code, 0, outcome.stdout);
      assert.ok(
        notes.some((note) => note.startsWith("dbt runs in a new process") && reason.test(note)),
        notes.join("\n"),
      );
    }),
  );
});

test("a parent whose code has changed on disk retires; manifests are kept for as many projects as allowed", {
  skip,
}, async (context) => {
  const folder = tempFolder("python");
  const env = { PYTHONPATH: folder };
  const other = openWarm({ env: environment(env), projects: 1 });
  context.after(() => other.close());
  const [one, two] = [tiny(env), tiny(env)];
  await run(other.engine, { args: ["parse"], ...one });
  await other.holding(({ holders }) => holders.length === 1 && holders[0]?.isReady === true);
  await run(other.engine, { args: ["parse"], ...two });
  // The first one is in use.
  const { holders } = await other.holding(({ forked }) => forked === 2);
  assert.deepEqual(
    holders.map(({ parseState }) => dirname(dirname(parseState))),
    [one.cwd],
  );
  assert.ok(other.news().every((note) => WARM.test(note)));
  writeFileSync(join(folder, "new_package.py"), "");
  const { code } = await run(other.engine, { args: ["ls"], ...two });
  assert.equal(code, 0);
  assert.match(other.news()[0] ?? "", /^dbt runs in a new process: .* has changed/);
  await other.parent.ended;
});
