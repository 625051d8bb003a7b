/** Starts programs for tests, with an environment of their own, and ends whatever is left when the test process ends. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { isBuilt } from "../scripts/build.mjs";
import { root, tempFolder, tempRoot } from "./folders.ts";

/** What a program printed and how it ended. */
export interface Result {
  readonly stdout: string;
  readonly stderr: string;
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ProgramOptions {
  readonly cwd?: string;
  /** Added to a minimal environment; `undefined` takes a name out of it. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Home folder with the XDG folders in it. Default: one per test process. */
  readonly home?: string;
  /** What it reads on stdin. Default: nothing. */
  readonly stdin?: string;
  /** Killed, and the result rejected, after this long. Default: 120 s. */
  readonly timeoutMs?: number;
}

export interface Program {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it has printed up to now. */
  stdout(): string;
  stderr(): string;
  kill(signal?: NodeJS.Signals): void;
  /** Rejects only on a timeout. */
  readonly done: Promise<Result>;
}

/** The newer Node, which the server needs. */
export const node: string = join(root, "node_modules", ".bin", "node");
/** The machine's own Node, from which npm was started; the CLI has to run on it. */
export function machineNode(): string {
  return (
    process.env["npm_node_execpath"] ?? execFileSync("node", ["-p", "process.execPath"], { encoding: "utf8" }).trim()
  );
}
export const venv: string = join(root, ".venv");
export const python: string = join(venv, "bin", "python");

/** Path of a built program. Builds src/ first where it has changed. */
export function program(name: "cli" | "server" | "job"): string {
  if (!built) {
    if (!isBuilt()) {
      const { status, stderr } = spawnSync(process.execPath, [join(root, "scripts", "build.mjs")], {
        encoding: "utf8",
      });
      if (status !== 0) console.error(`src/ cannot be built; going on with what was there:\n${stderr}`);
    }
    built = true;
  }
  return join(root, "dist", name, "main.js");
}
let built = false;

/** Home folder for tests that do not need one of their own. */
export const sharedHome: string = tempFolder("home");

/** A home folder's variables: nothing of the developer's own settings gets into a test, or out of it. */
function environment(options: ProgramOptions): Record<string, string> {
  const home = options.home ?? sharedHome;
  const variables: Record<string, string | undefined> = {
    PATH: process.env["PATH"],
    TMPDIR: process.env["TMPDIR"],
    LANG: "C.UTF-8",
    HOME: home,
    XDG_CONFIG_HOME: join(home, ".config"),
    XDG_DATA_HOME: join(home, ".local", "share"),
    XDG_STATE_HOME: join(home, ".local", "state"),
    XDG_CACHE_HOME: join(home, ".cache"),
    DBT_SEND_ANONYMOUS_USAGE_STATS: "false",
    ...options.env,
  };
  return Object.fromEntries(
    Object.entries(variables).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

const running = new Set<ChildProcess>();

/** Starts a program in a process group of its own. */
export function start(command: string, args: readonly string[], options: ProgramOptions = {}): Program {
  const child = spawn(command, args, {
    cwd: options.cwd ?? root,
    env: environment(options),
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  running.add(child);
  const printed: { out: Buffer[]; err: Buffer[] } = { out: [], err: [] };
  child.stdout.on("data", (chunk: Buffer) => printed.out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => printed.err.push(chunk));
  child.stdin.on("error", () => undefined); // it may end without having read
  child.stdin.end(options.stdin ?? "");
  const stdout = () => Buffer.concat(printed.out).toString();
  const stderr = () => Buffer.concat(printed.err).toString();
  const kill = (signal: NodeJS.Signals = "SIGTERM") => void child.kill(signal);
  const timeoutMs = options.timeoutMs ?? 120_000;
  const done = new Promise<Result>((resolve, reject) => {
    const timer = setTimeout(() => {
      killGroup(child);
      const what = [command, ...args].join(" ");
      reject(new Error(`${what}\nstill ran after ${timeoutMs} ms; it had printed:\n${stdout()}\n${stderr()}`));
    }, timeoutMs);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      resolve({ stdout: stdout(), stderr: stderr(), code, signal });
    });
  });
  done.catch(() => undefined); // a test that killed it need not wait for it
  return { child, pid: child.pid ?? -1, stdout, stderr, kill, done };
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  } catch {
    // it is gone already
  }
}

/**
 * Processes that work on this test process's temporary folder, found by their environment or current folder: jobs have
 * sessions of their own and outlive the server that started them. Linux only; elsewhere none.
 */
export function leftovers(folder: string = tempRoot): number[] {
  return listProcesses().filter((pid) => {
    try {
      return (
        readlinkSync(`/proc/${pid}/cwd`).startsWith(folder) ||
        readFileSync(`/proc/${pid}/environ`, "latin1").includes(folder)
      );
    } catch {
      return false; // gone meanwhile, or another user's
    }
  });
}

function listProcesses(): number[] {
  try {
    return readdirSync("/proc")
      .map(Number)
      .filter((pid) => pid > 0 && pid !== process.pid);
  } catch {
    return [];
  }
}

process.prependListener("exit", () => {
  for (const child of running) killGroup(child);
  for (const pid of leftovers()) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // it is gone already
    }
  }
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

/** Asks again until the answer is neither undefined nor false; rejects after the deadline. */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
