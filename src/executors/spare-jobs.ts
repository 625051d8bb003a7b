/** Keeps one job's program at hand that is loaded already, and waits to be told which run is its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

export interface SpareJobsOptions {
  readonly nodePath: string;
  readonly jobPath: string;
  readonly dataDir: string;
  /** Of a job; what a run's own job has beside it, it is told when it has a run. */
  readonly env: () => Promise<Readonly<Record<string, string>>>;
  /** A spare that nobody has asked for in this long ends. */
  readonly idleMs: number;
}

export interface SpareJobs {
  /**
   * Makes the waiting program the job that would have been started with this environment, its output at `outPath`.
   * Undefined where there is none, or where it could not be: then nothing was begun.
   */
  take(env: Readonly<Record<string, string>>, outPath: string): Promise<ChildProcess | undefined>;
  /** Starts one in a while, unless there is one or one will be started sooner. */
  prepare(inMs: number): void;
  close(): void;
}

/** Where the program reads that it is to wait. */
const SPARE = "DBT_JOB_SPARE";

/** A machine at its limit answers late; starting another program would be later still. */
const ANSWER_MS = 5_000;

interface Spare {
  readonly child: ChildProcess;
  isReady: boolean;
}

export function createSpareJobs(options: SpareJobsOptions): SpareJobs {
  const output = join(options.dataDir, "spare-job.out");
  let spare: Spare | undefined;
  let isStarting = false;
  let isClosed = false;
  let timer: { readonly at: number; readonly timeout: NodeJS.Timeout } | undefined;
  let idle: NodeJS.Timeout | undefined;

  const drop = (): void => {
    clearTimeout(idle);
    const { child } = spare ?? {};
    spare = undefined;
    // It ends when nobody is left to tell it.
    if (child?.connected) child.disconnect();
  };

  const start = async (): Promise<void> => {
    if (spare !== undefined || isStarting || isClosed) return;
    isStarting = true;
    try {
      const env = await options.env();
      if (!isClosed) spare = watched(spawnSpare(options, env, output));
      idle = setTimeout(drop, options.idleMs);
      idle.unref();
    } catch {
      // Without it, jobs are started when they are needed, and what is wrong shows there.
    } finally {
      isStarting = false;
    }
  };

  const watched = (child: ChildProcess): Spare => {
    const one: Spare = { child, isReady: false };
    child.once("message", () => {
      one.isReady = true;
    });
    const gone = (): void => {
      if (spare === one) drop();
    };
    child.once("exit", gone);
    child.once("error", gone);
    return one;
  };

  return {
    async take(env, outPath) {
      if (spare?.isReady !== true || !spare.child.connected) return undefined;
      const { child } = spare;
      clearTimeout(idle);
      spare = undefined;
      try {
        mkdirSync(dirname(outPath), { recursive: true, mode: 0o700 });
        renameSync(output, outPath);
      } catch {
        child.disconnect();
        return undefined;
      }
      return (await hasTaken(child, env)) ? child : undefined;
    },

    prepare(inMs) {
      const at = Date.now() + inMs;
      if (isClosed || spare !== undefined || (timer !== undefined && timer.at <= at)) return;
      clearTimeout(timer?.timeout);
      const timeout = setTimeout(() => {
        timer = undefined;
        void start();
      }, inMs);
      timeout.unref();
      timer = { at, timeout };
    },

    close() {
      isClosed = true;
      clearTimeout(timer?.timeout);
      drop();
      rmSync(output, { force: true });
    },
  };
}

function spawnSpare(options: SpareJobsOptions, env: Readonly<Record<string, string>>, output: string): ChildProcess {
  const file = openSync(output, "w", 0o600);
  try {
    const child = spawn(options.nodePath, [options.jobPath], {
      cwd: options.dataDir,
      detached: true,
      stdio: ["ignore", file, file, "ipc"],
      env: { ...env, [SPARE]: "1" },
    });
    child.unref();
    child.channel?.unref();
    return child;
  } finally {
    closeSync(file);
  }
}

/** False where it ended instead, or says nothing: then it is ended. */
function hasTaken(child: ChildProcess, env: Readonly<Record<string, string>>): Promise<boolean> {
  return new Promise((resolve) => {
    const answer = (hasIt: boolean): void => {
      clearTimeout(timer);
      if (!hasIt) child.kill("SIGKILL");
      resolve(hasIt);
    };
    const timer = setTimeout(() => answer(false), ANSWER_MS);
    child.once("message", () => answer(true));
    child.once("exit", () => answer(false));
    child.send({ env }, (error) => {
      if (error) answer(false);
    });
  });
}
