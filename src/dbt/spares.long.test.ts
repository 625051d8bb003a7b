/** Forks that wait for a project's next run, and runs that are announced before they begin. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { until } from "../../test/programs.ts";
import { collect, run, type Warm } from "../../test/warm.ts";
import { type Project, skip, tiny, WARM, warmForAll } from "../../test/warm-projects.ts";
import { announceWarmRun } from "./warm-connection.ts";

let warm: Warm;
warmForAll((opened) => {
  warm = opened;
});

const parseState = ({ cwd }: Project): string => join(cwd, "target", "partial_parse.msgpack");

/** Resolves with the pid of the process that waits for the project's next run. */
async function spare(project: Project): Promise<number> {
  let pid: number | null = null;
  await warm.holding(({ holders }) => {
    pid = holders.find((holder) => holder.parseState === parseState(project))?.sparePid ?? null;
    return pid !== null;
  });
  return pid ?? 0;
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test("the fork that waits for a project is its next run, and another takes its place", { skip }, async () => {
  const project = tiny();
  await run(warm.engine, { args: ["parse"], ...project });
  const first = await spare(project);
  const dbt = await warm.engine.start({ args: ["-q", "ls"], ...project });
  assert.equal(dbt.pid, first);
  const outcome = await collect(dbt);
  assert.deepEqual([outcome.code, outcome.signal], [0, null], outcome.stdout);
  assert.match(outcome.stdout, /^tiny\.names$/m);
  const second = await spare(project);
  assert.notEqual(second, first);

  process.kill(second, "SIGKILL");
  await until("the end of it", () => !isThere(second));
  warm.news();
  const without = await run(warm.engine, { args: ["-q", "ls"], ...project });
  assert.deepEqual([without.code, without.stdout], [0, outcome.stdout]);
  assert.match(warm.news()[0] ?? "", WARM);

  const third = await spare(project);
  const runs = await Promise.all([1, 2, 3].map(() => warm.engine.start({ args: ["-q", "ls"], ...project })));
  const outcomes = await Promise.all(runs.map(collect));
  assert.deepEqual(
    outcomes.map(({ stdout }) => stdout),
    [1, 2, 3].map(() => outcome.stdout),
  );
  assert.equal(runs.filter(({ pid }) => pid === third).length, 1);
});

test("a run that was announced is there when it begins; one that never begins leaves nothing", { skip }, async () => {
  const project = tiny();
  await run(warm.engine, { args: ["parse"], ...project });
  const waiting = await spare(project);
  warm.engine.announce?.({ args: ["-q", "ls"], ...project });
  warm.engine.announce?.({ args: ["-q", "ls"], ...project });
  await warm.holding(({ holders }) => holders.some(({ pid, running }) => pid > 0 && running === 1));
  const begun = await warm.engine.start({ args: ["-q", "ls"], ...project });
  assert.equal(begun.pid, waiting);
  assert.equal((await collect(begun)).code, 0);

  const pid = await spare(project);
  const folder = dirname(warm.parent.socketPath);
  const { socketPath } = warm.parent;
  const announced = announceWarmRun({ socketPath, parseState: parseState(project), onHandedOver: () => {} });
  await until("its process", async () => (await warm.parent.stats()).holders.every(({ sparePid }) => sparePid !== pid));
  assert.ok(isThere(pid));
  announced.cancel();
  await until("its end", () => !isThere(pid));
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith("run-")),
    [],
  );
});
