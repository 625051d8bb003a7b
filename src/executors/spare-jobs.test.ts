import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { node, until } from "../../test/programs.ts";
import { descendantsOf, processFacts } from "./processes.ts";
import { createSpareJobs, type SpareJobs } from "./spare-jobs.ts";

const JOB = join(import.meta.dirname, "../../test/contracts/obedient-job.ts");

interface Trial {
  readonly folder: string;
  readonly spares: SpareJobs;
  /** Resolves to the program, as soon as one waits. */
  take(runId: string): Promise<ChildProcess>;
  outPath(runId: string): string;
  /** What the run's job says it was started with. */
  startedWith(runId: string): Promise<Record<string, string>>;
}

const closings: (() => void)[] = [];
after(() => {
  for (const close of closings) close();
});

function trial(idleMs = 60_000): Trial {
  const folder = tempFolder("spares");
  const env = { TEST_FOLDER: folder };
  const spares = createSpareJobs({ nodePath: node, jobPath: JOB, dataDir: folder, env: async () => env, idleMs });
  closings.push(() => spares.close());
  const outPath = (runId: string) => join(folder, "runs", runId, "job.out");
  return {
    folder,
    spares,
    outPath,
    take: (runId) => until("a spare", () => spares.take({ ...env, DBT_JOB_RUN_ID: runId }, outPath(runId))),
    async startedWith(runId) {
      const file = join(folder, `${runId}.started`);
      await until("the job", () => existsSync(file));
      return (JSON.parse(readFileSync(file, "utf8")) as { env: Record<string, string> }).env;
    },
  };
}

const ended = (child: ChildProcess) => new Promise<number | null>((resolve) => child.once("exit", resolve));

test("a program that waits becomes the job of the run it is given, and serves no other", {
  timeout: 60_000,
}, async () => {
  const { spares, take, startedWith, outPath, folder } = trial();
  assert.equal(await spares.take({}, outPath("none")), undefined, "nothing was prepared");
  spares.prepare(0);
  const child = await take("one");
  assert.deepEqual(await startedWith("one"), { TEST_FOLDER: folder, DBT_JOB_RUN_ID: "one" });
  assert.ok(existsSync(outPath("one")));
  assert.equal(await spares.take({}, outPath("two")), undefined, "there was one only");
  const end = ended(child);
  // Who started it closes, and it goes on.
  spares.close();
  assert.notEqual(processFacts(child.pid ?? 0), undefined);
  writeFileSync(join(folder, "one.end"), "7");
  assert.equal(await end, 7);
});

test("a spare ends when it is not needed any more, or when who started it is gone", { timeout: 60_000 }, async () => {
  const { spares, folder } = trial(50);
  spares.prepare(0);
  const output = join(folder, "spare-job.out");
  await until("a spare", () => existsSync(output));
  const others = trial();
  const keeper = spawn(node, ["--input-type=module", "-e", keeperOf(others.folder)], { stdio: "inherit" });
  const { pid } = await until("its spare", async () => (await descendantsOf(keeper.pid ?? 0))[0]);
  keeper.kill("SIGKILL");
  await until("the end of the spare whose server was killed", () => processFacts(pid) === undefined);
  assert.equal(await spares.take({}, join(folder, "late.out")), undefined);
});

/** A program that starts a spare, says its pid, and goes on. */
function keeperOf(folder: string): string {
  const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  return `
    import { createSpareJobs } from ${url("./spare-jobs.ts")};
    const spares = createSpareJobs({
      nodePath: process.execPath, jobPath: ${JSON.stringify(JOB)}, dataDir: ${JSON.stringify(folder)},
      env: async () => ({ TEST_FOLDER: ${JSON.stringify(folder)} }), idleMs: 60_000,
    });
    spares.prepare(0);
    setInterval(() => {}, 1000);`;
}
