/** The local executor: each job is a child process in a session of its own, so that it outlives the server. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../core/errors.ts";
import type { Execution, ExecutionStatus, Executor } from "./port.ts";
import { descendantsOf, outOfMemoryKills, processFacts } from "./processes.ts";
import { createSpareJobs } from "./spare-jobs.ts";

export interface LocalExecutorOptions {
  /** The Node that runs the job's program. */
  readonly nodePath: string;
  /** Path of the job's program. */
  readonly jobPath: string;
  readonly dataDir: string;
  /** The whole environment of a job, beside `DBT_JOB_RUN_ID` and `DBT_JOB_ROOT`; a rejection fails the launch. */
  readonly env: () => Promise<Readonly<Record<string, string>>>;
  /** Where given, a job's program is kept loaded for the next run, and ends when there was none in this long. */
  readonly spareIdleMs?: number;
}

type Gone = Extract<ExecutionStatus, { state: "gone" }>;

/** A spare is started when nothing else should be going on: behind the server's start, behind a run, or beside a long one. */
const SPARE_AFTER_START_MS = 1_000;
const SPARE_AFTER_END_MS = 250;
const SPARE_BESIDE_RUN_MS = 3_000;

/** Ends are remembered for this many executions: exit codes are known to the parent alone. */
const REMEMBERED_ENDS = 1000;

export function createLocalExecutor(options: LocalExecutorOptions): Executor {
  const ends = new Map<string, Gone>();
  /** Children of this process whose end it has not been told of yet. */
  const children = new Map<string, Promise<Gone>>();
  const callbacks: ((runId: string) => void)[] = [];

  const { spareIdleMs } = options;
  const spares = spareIdleMs === undefined ? undefined : createSpareJobs({ ...options, idleMs: spareIdleMs });
  spares?.prepare(SPARE_AFTER_START_MS);

  const remember = (executionId: string, end: Gone): void => {
    ends.set(executionId, end);
    for (const oldest of ends.keys()) {
      if (ends.size <= REMEMBERED_ENDS) break;
      ends.delete(oldest);
    }
  };

  return {
    kind: "local",

    async launch(request) {
      const env = { ...(await options.env()), DBT_JOB_RUN_ID: request.runId, DBT_JOB_ROOT: String(request.root) };
      const outPath = jobOutputPath(options.dataDir, request.runId);
      const killsBefore = outOfMemoryKills();
      const spare = await spares?.take(env, outPath);
      const child = spare ?? startJob(options, env, outPath);
      // Read at once: as long as this process has not reaped it, even a job that ended already can be looked up.
      const startTime = child.pid === undefined ? undefined : (processFacts(child.pid)?.startTime ?? "ended");
      const execution: Execution = { kind: "local", id: `${child.pid}:${startTime}` };
      const end = new Promise<Gone>((resolve) => {
        child.once("exit", (exitCode, signal) => {
          const outOfMemory = diedOfMemory(signal, killsBefore, outPath);
          const gone: Gone = { state: "gone", exitCode, signal, reason: null, outOfMemory };
          remember(execution.id, gone);
          children.delete(execution.id);
          resolve(gone);
          spares?.prepare(SPARE_AFTER_END_MS);
          for (const callback of callbacks) callback(request.runId);
        });
      });
      if (spare === undefined) await started(child);
      spares?.prepare(SPARE_BESIDE_RUN_MS);
      if (!ends.has(execution.id)) children.set(execution.id, end);
      child.unref();
      return execution;
    },

    async status(execution) {
      const end = ends.get(execution.id);
      if (end !== undefined) return end;
      if (findJob(execution) !== undefined) return { state: "alive" };
      // It ended a moment ago: its exit code is on its way.
      const child = children.get(execution.id);
      if (child !== undefined) return child;
      return { state: "gone", exitCode: null, signal: null, reason: null, outOfMemory: false };
    },

    async kill(execution) {
      const pid = findJob(execution);
      if (pid === undefined) return;
      // dbt has a process group of its own; it has to be found while the job is still its parent.
      const family = await descendantsOf(pid);
      signalIfThere(-pid, "SIGKILL");
      for (const each of family) {
        if (processFacts(each.pid)?.startTime === each.startTime) signalIfThere(each.pid, "SIGKILL");
      }
    },

    onExit(callback) {
      callbacks.push(callback);
    },

    async drain(withinMs) {
      for (const id of children.keys()) signalIfThere(findJob({ kind: "local", id }), "SIGTERM");
      let timer: NodeJS.Timeout | undefined;
      // Jobs do not keep this process alive; the timer does.
      const late = new Promise((resume) => {
        timer = setTimeout(resume, withinMs);
      });
      await Promise.race([Promise.all(children.values()), late]);
      clearTimeout(timer);
    },

    async close() {
      callbacks.length = 0;
      spares?.close();
    },
  };
}

/** Where a job's own output goes: what it could not ship, such as the reason why it could not start. */
export function jobOutputPath(dataDir: string, runId: string): string {
  return join(dataDir, "runs", runId, "job.out");
}

function startJob(options: LocalExecutorOptions, env: Readonly<Record<string, string>>, outPath: string): ChildProcess {
  let output: number | undefined;
  try {
    mkdirSync(join(outPath, ".."), { recursive: true, mode: 0o700 });
    output = openSync(outPath, "a", 0o600);
    return spawn(options.nodePath, [options.jobPath], {
      cwd: options.dataDir,
      detached: true,
      stdio: ["ignore", output, output],
      env,
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AppError("internal", `The job could not be launched: ${reason}`, { cause });
  } finally {
    if (output !== undefined) closeSync(output);
  }
}

function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) => {
      reject(new AppError("internal", `The job could not be launched: ${cause.message}`, { cause }));
    });
  });
}

/** The job's pid, if the process that has it now is the one that was launched. */
function findJob(execution: Execution): number | undefined {
  const colon = execution.id.indexOf(":");
  const pid = Number(execution.id.slice(0, colon));
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
  return processFacts(pid)?.startTime === execution.id.slice(colon + 1) ? pid : undefined;
}

function signalIfThere(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, signal);
  } catch {
    // It ended by itself in between.
  }
}

/** The kernel's killer leaves only SIGKILL and a counter behind, Node's own heap limit a line in its output. */
function diedOfMemory(signal: NodeJS.Signals | null, killsBefore: number | undefined, outPath: string): boolean {
  if (signal === "SIGKILL") {
    const killsNow = outOfMemoryKills();
    return killsNow !== undefined && killsBefore !== undefined && killsNow > killsBefore;
  }
  if (signal !== "SIGABRT") return false;
  try {
    return /heap out of memory/i.test(readFileSync(outPath, "utf8"));
  } catch {
    return false;
  }
}
