/** The two sides of every comparison: local dbt and dbt-remote with a server of its own, on equal projects. */
import { chmodSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { node, program, type ServerOptions, startServer, type TestServer, tempFolder } from "../test/harness.ts";
import { venv } from "../test/programs.ts";
import { generateProject } from "./generate.ts";
import type { Stopwatch, Timing } from "./stopwatch.ts";

export interface LocalSide {
  readonly project: string;
  run(args: readonly string[]): Promise<Timing>;
}

export interface RemoteSide extends LocalSide {
  readonly server: TestServer;
  /** Seconds of CPU that the server and everything it started have used up to now. */
  serverCpu(): number;
  stop(): Promise<unknown>;
}

/** What both sides' processes see: a home of their own, and nothing of the developer's. */
export function environment(home: string): Record<string, string> {
  const path = process.env["PATH"] ?? "/usr/bin:/bin";
  return { PATH: path, HOME: home, LANG: "C.UTF-8", DBT_SEND_ANONYMOUS_USAGE_STATS: "false" };
}

export function newProject(models: number): string {
  const dir = tempFolder(`project-${models}`);
  generateProject({ dir, models, threads: 1 });
  return dir;
}

export function localSide(stopwatch: Stopwatch, project: string): LocalSide {
  const env = environment(tempFolder("home"));
  return { project, run: (args) => stopwatch.time([join(venv, "bin", "dbt"), ...args], { cwd: project, env }) };
}

/** Starts a server; the CLI finds it in their common home, or is given another `url`. */
export async function remoteSide(
  stopwatch: Stopwatch,
  project: string,
  options: ServerOptions & { readonly cliEnv?: Record<string, string> } = {},
): Promise<RemoteSide> {
  const home = tempFolder("home");
  // what the test harness sets for the server, the CLI finds by the plain rules
  const server = await startServer({ home, ...options });
  const registered = join(home, ".local", "state");
  mkdirSync(registered, { recursive: true });
  chmodSync(registered, 0o700);
  const env = { ...environment(home), ...options.cliEnv };
  return {
    project,
    server,
    run: (args) => stopwatch.time([node, program("cli"), ...args], { cwd: project, env }),
    serverCpu: () => treeCpu(server.pid),
    stop: () => server.stop(),
  };
}

const TICKS = 100; // USER_HZ, the same on every Linux that Node runs on

/** Fields of /proc/PID/stat behind the command's name; undefined where the process is gone. */
function stat(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

/** A process and all its living descendants. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const parent = Number(stat(Number(name))?.[1]);
    if (Number.isNaN(parent)) continue;
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

function treeCpu(root: number): number {
  let ticks = 0;
  for (const pid of processTree(root)) {
    // utime, stime, and those of the children that it has waited for
    for (const field of stat(pid)?.slice(11, 15) ?? []) ticks += Number(field);
  }
  return ticks / TICKS;
}

/** Peak resident memory of one process in MiB, or what it has now with `VmRSS`. */
export function memoryMiB(pid: number, field: "VmHWM" | "VmRSS" = "VmHWM"): number {
  try {
    const line = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return Number(line?.[1]) / 1024;
  } catch {
    return Number.NaN;
  }
}
