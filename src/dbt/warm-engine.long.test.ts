import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { copyProject, root, tempFolder } from "../../test/folders.ts";
import { comparable } from "../../test/parity/compare-artifacts.ts";
import { maskText } from "../../test/parity/mask.ts";
import { node, until, venv } from "../../test/programs.ts";
import {
  coldEngine,
  collect,
  environment,
  isBusy,
  type Outcome,
  openWarm,
  run,
  type Warm,
  warmEngine,
} from "../../test/warm.ts";
import type { DbtProcess } from "./port.ts";
import { stopDbt } from "./stop.ts";

const missing = existsSync(join(venv, "bin", "dbt")) ? undefined : "no .venv with dbt; `npm run demo` makes it";
const skip =
  process.platform === "linux"
    ? process.env["REQUIRE_ALL"] === "1"
      ? false
      : (missing ?? false)
    : "forks on Linux alone";

const WARM = /^dbt runs warm/;
const HANDED_OVER = "dbt took the project's manifest from memory";
const SLOW = `{{ config(materialized='table') }}
select sum(a.range * b.range) as it from range(10000000) a, range(1000000) b`;

let warm: Warm;
before(() => {
  if (skip === false) warm = openWarm();
});
after(async () => {
  if (skip !== false) return;
  await warm.close();
  assert.equal(existsSync(warm.parent.socketPath), false);
});

interface Project {
  readonly cwd: string;
  readonly env: Record<string, string>;
}

function tiny(own: Readonly<Record<string, string>> = {}): Project {
  const env = environment({ DBT_PROFILES_DIR: join(root, "test/fixtures/projects/tiny-profiles"), ...own });
  return { cwd: copyProject("tiny"), env };
}

function write(project: Project, path: string, text: string): void {
  mkdirSync(join(project.cwd, path, ".."), { recursive: true });
  writeFileSync(join(project.cwd, path), text);
}

function readTarget(project: Project, file: string): Record<string, Record<string, unknown>> {
  return JSON.parse(readFileSync(join(project.cwd, "target", file), "utf8"));
}

/** Resolves when the project's manifest is in memory, as it is on disk. */
async function held(project: Project): Promise<void> {
  const parseState = join(project.cwd, "target", "partial_parse.msgpack");
  await warm.holding(({ holders }) =>
    holders.some((holder) => holder.parseState === parseState && holder.isReady && holder.isCurrent),
  );
}

function assertSame(warmly: Outcome, warmIn: Project, coldly: Outcome, coldIn: Project): void {
  const shown = (outcome: Outcome, { cwd }: Project) => ({
    stdout: maskText(outcome.stdout, { root: cwd }),
    stderr: maskText(outcome.stderr, { root: cwd }),
    exit: [outcome.code, outcome.signal],
  });
  assert.deepEqual(shown(warmly, warmIn), shown(coldly, coldIn));
  const target = ({ cwd }: Project) => comparable(join(cwd, "target"), { root: cwd }, (text) => text);
  assert.deepEqual(target(warmIn), target(coldIn));
  const kinds = ({ events }: Outcome) => events.split("\n").map((line) => /"name":\s*"(\w+)"/.exec(line)?.[1]);
  assert.deepEqual(kinds(warmly), kinds(coldly));
}

test("warm and new process print and write the same, first and with the manifest from memory", { skip }, async () => {
  const [warmly, coldly] = [tiny(), tiny()];
  const both = async (args: readonly string[]) => {
    const [one, other] = await Promise.all([
      run(warm.engine, { args, ...warmly }),
      run(coldEngine, { args, ...coldly }),
    ]);
    assertSame(one, warmly, other, coldly);
    return one;
  };
  const built = await both(["build"]);
  assert.equal(built.code, 0, built.stdout);
  const [first, ...rest] = warm.news();
  assert.match(first ?? "", WARM);
  assert.deepEqual(rest, []);
  const left = readdirSync(warmly.cwd).filter((name) => name.startsWith("tiny.duckdb"));
  assert.deepEqual(left, ["tiny.duckdb"], "the database is closed as a new process closes it");

  await held(warmly);
  await both(["run"]);
  assert.deepEqual(warm.news().slice(1), [HANDED_OVER]);

  for (const project of [warmly, coldly])
    write(project, "models/names.sql", "select id, name || '!' as name from {{ ref('people') }}");
  await both(["compile"]);
  assert.deepEqual(warm.news().slice(1), [HANDED_OVER]);
  const log = readFileSync(join(warmly.cwd, "logs", "dbt.log"), "utf8");
  assert.match(log, /Partial parsing enabled: 0 files deleted, 0 files added, 1 files changed/);
  assert.match(readFileSync(join(warmly.cwd, "target/compiled/tiny/models/names.sql"), "utf8"), /'!'/);
});

test("what runs no models is the same too", { skip }, async () => {
  const [warmly, coldly] = [tiny(), tiny()];
  for (const args of [["--version"], ["run", "--help"], ["run", "--bogus"], ["deps"], []]) {
    const [one, other] = await Promise.all([
      run(warm.engine, { args, ...warmly }),
      run(coldEngine, { args, ...coldly }),
    ]);
    assertSame(one, warmly, other, coldly);
  }
  assert.deepEqual(
    warm.news().filter((note) => !WARM.test(note)),
    [],
  );
});

test("two owners in alternation: environment, vars, targets, secrets and metadata stay with theirs", {
  skip,
}, async () => {
  const profiles = tempFolder("profiles");
  const output = (name: string) => `{type: duckdb, path: ${name}.duckdb, schema: "{{ env_var('SCHEMA') }}"}`;
  writeFileSync(
    join(profiles, "profiles.yml"),
    `tiny: {target: dev, outputs: {dev: ${output("dev")}, prod: ${output("prod")}}}`,
  );
  const owner = (name: string) => {
    const project = tiny({
      DBT_PROFILES_DIR: profiles,
      SCHEMA: `schema_of_${name}`,
      [`ONLY_${name}`]: "here",
      DBT_ENV_SECRET_WORD: `hidden-${name}`,
      DBT_ENV_CUSTOM_ENV_OWNER: name,
    });
    write(
      project,
      "models/who.sql",
      `select '{{ env_var("ONLY_${name}") }}' as a, '{{ env_var("ONLY_other", "none") }}' as b,
       '{{ var("word") }}' as c, '{{ target.name }} {{ target.schema }}' as d`,
    );
    write(project, "models/properties.yml", "models: [{name: who, description: \"{{ env_var('SCHEMA') }}\"}]");
    return { name, project };
  };
  const owners = [owner("ann"), owner("bob")];
  for (const [round, target] of ["dev", "prod", "prod"].entries()) {
    for (const { name, project } of owners) {
      const vars = `{word: ${name}-${round}}`;
      const outcome = await run(warm.engine, { args: ["compile", "--target", target, "--vars", vars], ...project });
      assert.equal(outcome.code, 0, outcome.stdout);
      const text = readFileSync(join(project.cwd, "target/compiled/tiny/models/who.sql"), "utf8");
      assert.equal(
        text.replace(/\s+/g, " "),
        `select 'here' as a, 'none' as b, '${name}-${round}' as c, '${target} schema_of_${name}' as d`,
      );
      const manifest = readTarget(project, "manifest.json");
      assert.deepEqual(manifest["metadata"]?.["env"], { OWNER: name });
      const said = outcome.stdout + JSON.stringify(manifest) + readFileSync(join(project.cwd, "logs/dbt.log"), "utf8");
      const foreign = name === "ann" ? "bob" : "ann";
      assert.ok(!said.includes(`schema_of_${foreign}`) && !said.includes("hidden-"), said);
    }
  }
  const last = await run(warm.engine, { args: ["compile", "-s", "who"], ...(owners[0]?.project ?? tiny()) });
  assert.match(last.stdout, /Required var 'word' not found/, "what one run was given is not there for the next");
  assert.ok(warm.news().includes(HANDED_OVER), "parse state was in memory for some of them");
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

test("where the parent cannot run it, dbt is started as a new process, with the reason told", { skip }, async () => {
  const project = tiny();
  const folder = tempFolder("sockets");
  const notes: string[] = [];
  const silent = createServer();
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
  silent.close();
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
  // Whoever is asked for the run finds it out, the one that holds the manifest or, as long as it reads it, the parent.
  const { holders } = await other.holding(
    ({ holders: [first] }) => first?.isReady === true && first.parseState.startsWith(two.cwd),
  );
  assert.equal(holders.length, 1);
  assert.ok(other.news().every((note) => WARM.test(note)));
  writeFileSync(join(folder, "new_package.py"), "");
  const { code } = await run(other.engine, { args: ["ls"], ...two });
  assert.equal(code, 0);
  assert.match(other.news()[0] ?? "", /^dbt runs in a new process: .* has changed/);
  await other.parent.ended;
});

test("a process that serves one run only does so in the same way", { skip }, async (context) => {
  const spare = openWarm({ forks: false });
  context.after(() => spare.close());
  const [warmly, coldly] = [tiny(), tiny()];
  const args = ["build"];
  const [one, other] = await Promise.all([
    run(spare.engine, { args, ...warmly }),
    run(coldEngine, { args, ...coldly }),
  ]);
  assertSame(one, warmly, other, coldly);
  assert.match(spare.news()[0] ?? "", WARM);
  await Promise.all([spare.parent.retired, spare.parent.ended]);
  rmSync(warmly.cwd, { recursive: true });
});
