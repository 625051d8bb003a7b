import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type DbtEvent, readEvents } from "./events.ts";
import { dbtEnvironment } from "./job-environment.ts";
import type { DbtProcess } from "./port.ts";
import { createProcessEngine } from "./process-engine.ts";
import { stopDbt } from "./stop.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const bin = join(root, ".venv", "bin");
const projects = join(root, "test", "fixtures", "projects");
const profiles = join(projects, "tiny-profiles");
const available = existsSync(join(bin, "dbt"));
const skip = available || process.env["REQUIRE_ALL"] === "1" ? false : "no .venv with dbt; `npm run demo` makes it";

const engine = createProcessEngine({ python: join(bin, "python"), version: "1", adapters: [{ name: "duckdb" }] });
const env = dbtEnvironment({ serverEnv: process.env, allow: [], envelopeEnv: {}, own: { DBT_PROFILES_DIR: profiles } });

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
  readonly signal: string | null;
}

const folders: string[] = [];
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function project(from = join(projects, "tiny"), models: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tiny-"));
  folders.push(folder);
  await cp(from, folder, { recursive: true });
  await rm(join(folder, "target", "run_results.json"), { force: true });
  for (const [name, text] of Object.entries(models)) await writeFile(join(folder, "models", `${name}.sql`), text);
  return folder;
}

/** dbt's own program, started as a shell would. */
async function runDirectly(cwd: string, args: readonly string[]): Promise<Outcome> {
  const child = spawn(join(bin, "dbt"), args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  const exit = new Promise<[number | null, string | null]>((done) => child.once("exit", (...all) => done(all)));
  const [stdout, stderr, [code, signal]] = await Promise.all([buffer(child.stdout), buffer(child.stderr), exit]);
  return { stdout: stdout.toString(), stderr: stderr.toString(), code, signal };
}

async function collect(dbt: DbtProcess): Promise<Outcome & { events: DbtEvent[] }> {
  const events: DbtEvent[] = [];
  const reading = (async () => {
    for await (const { line, event } of readEvents(dbt.events)) {
      assert.ok(event, line);
      events.push(event);
    }
  })();
  const [stdout, stderr, exit] = await Promise.all([buffer(dbt.stdout), buffer(dbt.stderr), dbt.exit, reading]);
  return { stdout: stdout.toString(), stderr: stderr.toString(), ...exit, events };
}

async function runDriven(cwd: string, args: readonly string[]): Promise<Outcome & { events: DbtEvent[] }> {
  return collect(await engine.start({ args, cwd, env }));
}

function masked(text: string, cwd: string): string {
  return text
    .replaceAll(cwd, "<root>")
    .replace(/\d\d:\d\d:\d\d/g, "<time>")
    .replace(/\d+\.\d+ ?s(econds)?\b/g, "<duration>");
}

function same(driven: Outcome, drivenIn: string, direct: Outcome, directIn: string): void {
  assert.equal(masked(driven.stdout, drivenIn), masked(direct.stdout, directIn));
  assert.equal(masked(driven.stderr, drivenIn), masked(direct.stderr, directIn));
  assert.deepEqual([driven.code, driven.signal], [direct.code, direct.signal]);
}

// One build each way; its parse state spares the other cases the full parse.
const built = skip === false ? build() : undefined;
built?.catch(() => {});
async function build() {
  const [drivenIn, directIn] = await Promise.all([project(), project()]);
  const [driven, direct] = await Promise.all([runDriven(drivenIn, ["build"]), runDirectly(directIn, ["build"])]);
  return { driven, drivenIn, direct, directIn };
}

async function parsed(models: Readonly<Record<string, string>> = {}): Promise<string> {
  assert.ok(built);
  return project((await built).drivenIn, models);
}

test("a build under the driver prints what dbt prints, and reports its events", { skip }, async () => {
  assert.ok(built);
  const { driven, drivenIn, direct, directIn } = await built;
  same(driven, drivenIn, direct, directIn);
  assert.equal(driven.code, 0);
  const started = driven.events.filter((event) => event.name === "NodeStart").map((event) => event.node?.uniqueId);
  const finished = driven.events.filter((event) => event.name === "NodeFinished");
  assert.deepEqual(started.slice(0, 2), ["seed.tiny.people", "model.tiny.names"]);
  assert.deepEqual(
    finished.map((event) => [event.node?.name, event.result?.status]),
    [
      ["people", "success"],
      ["names", "success"],
      ["not_null_names_id", "pass"],
      ["counts", "success"],
    ],
  );
  assert.deepEqual(driven.events.find((event) => event.name === "LogTestResult")?.position, { index: 3, total: 4 });
  assert.equal(driven.events.at(-1)?.name, "CommandCompleted");
  assert.ok(driven.events.some((event) => event.name === "ArtifactWritten"));
  assert.ok(driven.events.every((event) => event.level !== "debug" || /^(Q0|P001|I017)/.test(event.code)));
  const results = JSON.parse(await readFile(join(drivenIn, "target", "run_results.json"), "utf8"));
  assert.equal(results.args.invocation_command, "dbt build");
});

const CASES: readonly { args: readonly string[]; code: number; models?: Readonly<Record<string, string>> }[] = [
  { args: ["run"], code: 1, models: { bad: "select nope from {{ ref('names') }}" } },
  { args: ["run"], code: 2, models: { bad: "select {{ ref('names' }}" } },
  { args: ["run", "--bogus"], code: 2 },
  { args: ["--version"], code: 0 },
  { args: ["run", "--help"], code: 0 },
  { args: ["list"], code: 0 },
  { args: ["show", "--inline", "select 'it''s \"quoted\"' as one"], code: 0 },
  { args: ["run-operation", "nope"], code: 2 },
];

for (const { args, code, models } of CASES) {
  test(`under the driver as directly, exit ${code}: dbt ${args.join(" ")}`, { skip }, async () => {
    const [drivenIn, directIn] = await Promise.all([parsed(models), parsed(models)]);
    const [driven, direct] = await Promise.all([runDriven(drivenIn, args), runDirectly(directIn, args)]);
    same(driven, drivenIn, direct, directIn);
    assert.equal(driven.code, code, driven.stdout + driven.stderr);
  });
}

const SLOW =
  "{{ config(materialized='table') }} " +
  "select sum(a.range * b.range) as it from range(10000000) a, range(1000000) b";

/** Starts a run and waits until the warehouse is at the slow query: dbt can't cancel one that has yet to begin. */
async function startSlow(cwd: string): Promise<{ dbt: DbtProcess; started: Promise<unknown> }> {
  const log = join(cwd, "logs", "dbt.log");
  await rm(log, { force: true });
  const dbt = await engine.start({ args: ["run", "-s", "slow"], cwd, env });
  dbt.stdout.resume();
  dbt.stderr.resume();
  const started = (async () => {
    const deadline = performance.now() + 60_000;
    while (!/create\s+table/.test(await readFile(log, "utf8").catch(() => ""))) {
      assert.ok(performance.now() < deadline, "dbt did not come to its query");
      await setTimeout(50);
    }
    // dbt logs the query just before it sends it.
    await setTimeout(500);
  })();
  return { dbt, started };
}

test("SIGINT in mid-run: exit 2, and run_results.json is written; SIGKILL is reported as such", { skip }, async () => {
  const [interruptedIn, killedIn] = await Promise.all([parsed({ slow: SLOW }), parsed({ slow: SLOW })]);
  const [interrupted, killed] = await Promise.all([startSlow(interruptedIn), startSlow(killedIn)]);
  const names: string[] = [];
  const reading = (async () => {
    for await (const { event } of readEvents(interrupted.dbt.events)) names.push(event?.name ?? "");
  })();
  killed.dbt.events.resume();

  await killed.started;
  process.kill(killed.dbt.pid, "SIGKILL");
  assert.deepEqual(await killed.dbt.exit, { code: null, signal: "SIGKILL" });
  assert.equal(killed.dbt.signal("SIGINT"), false);

  await interrupted.started;
  const outcome = await stopDbt(interrupted.dbt, { graceMs: 30_000, termMs: 5_000 });
  assert.deepEqual(outcome, { step: "SIGINT", exit: { code: 2, signal: null } });
  assert.ok(existsSync(join(interruptedIn, "target", "run_results.json")));
  await reading;
  assert.equal(names.at(-1), "CommandCompleted");
});

test("SIGINT while dbt is still being imported ends it by the signal, without a stack trace", { skip }, async () => {
  const dbt = await engine.start({ args: ["--version"], cwd: await project(), env });
  const done = collect(dbt);
  // The driver's module is read within a few ms; dbt's import takes seconds. Before Python has its handler the signal kills too.
  await setTimeout(300);
  assert.equal(dbt.signal("SIGINT"), true);
  const outcome = await done;
  assert.deepEqual([outcome.code, outcome.signal], [null, "SIGINT"]);
  assert.equal(outcome.stderr, "");
});

test("a reader of events that goes away does not disturb dbt", { skip }, async () => {
  const cwd = await parsed();
  const dbt = await engine.start({ args: ["run"], cwd, env });
  dbt.events.destroy();
  const outcome = await collect({ ...dbt, events: Readable.from([]) });
  assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
  assert.equal(outcome.stderr, "");
  assert.match(outcome.stdout, /Completed successfully/);
});

test("a Python or folder that is not there is an error with the path", async () => {
  const lost = createProcessEngine({ python: "/nowhere/python", version: "1", adapters: [] });
  await assert.rejects(lost.start({ args: [], cwd: tmpdir(), env: {} }), {
    code: "dbt_not_found",
    message: /\/nowhere\/python/,
  });
  const here = createProcessEngine({ python: process.execPath, version: "1", adapters: [] });
  await assert.rejects(here.start({ args: [], cwd: "/nowhere/project", env: {} }), { message: /\/nowhere\/project/ });
  await assert.rejects(here.start({ args: ["x".repeat(5_000_000)], cwd: tmpdir(), env: {} }), { code: "bad_argument" });
});
