/** The two sides of every comparison: local dbt and dbt-remote with a server of its own, on equal projects. */
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { MetricsAnswer } from "../src/api/schemas/server.ts";
import {
  node,
  program,
  root,
  type ServerOptions,
  startServer,
  type TestServer,
  tempFolder,
  until,
} from "../test/harness.ts";
import { venv } from "../test/programs.ts";
import type { Memory } from "./comparison.ts";
import { generateProject } from "./generate.ts";
import type { Stopwatch, Timing } from "./stopwatch.ts";

export interface Side {
  readonly project: string;
  /** Before each command, and outside its time. */
  begin?(): Promise<void>;
  run(args: readonly string[]): Promise<Timing>;
  /** After each command, and outside its time. */
  end?(): Promise<unknown>;
  /** Seconds of CPU that the server and everything it started have used up to now. */
  serverCpu(): number;
  /** Resolves when nothing that an earlier command has left behind is at work any more. */
  settled(): Promise<void>;
}

export interface RemoteSide extends Side {
  readonly server: TestServer;
  /** What is typed, as an argv. */
  command(args: readonly string[]): string[];
  /** Seconds of CPU of the server's own process. */
  serverOwnCpu(): number;
  /** Starts the server again on the same folder, once it was stopped. */
  start(): Promise<void>;
  /** Resolves when dbt is loaded, and a project's manifest in memory. */
  isWarm(): Promise<void>;
  memory(): Promise<Omit<Memory, "project">>;
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

/** A copy of the demo's project, with its data. */
export function newExample(): string {
  const folder = join(tempFolder("example"), "flights");
  cpSync(join(root, "examples", "flights"), folder, { recursive: true });
  for (const name of ["target", "logs"]) rmSync(join(folder, name), { recursive: true, force: true });
  return folder;
}

export function localSide(stopwatch: Stopwatch, project: string): Side {
  const env = environment(tempFolder("home"));
  return {
    project,
    run: (args) => stopwatch.time([join(venv, "bin", "dbt"), ...args], { cwd: project, env }),
    serverCpu: () => 0,
    settled: async () => {},
  };
}

export interface RemoteOptions extends ServerOptions {
  readonly warm: boolean;
  readonly cliEnv?: Record<string, string>;
}

/** Starts a server; the CLI finds it in their common home, or is given another `url`. */
export async function remoteSide(stopwatch: Stopwatch, project: string, options: RemoteOptions): Promise<RemoteSide> {
  const home = tempFolder("home");
  const dataDir = tempFolder("data");
  const serverEnv = { ...options.env, DBT_SERVER_WARM: options.warm ? "on" : "off" };
  // what the test harness sets for the server, the CLI finds by the plain rules
  const startIt = () => startServer({ home, dataDir, ...options, env: serverEnv });
  let server = await startIt();
  const registered = join(home, ".local", "state");
  mkdirSync(registered, { recursive: true });
  chmodSync(registered, 0o700);
  const env = { ...environment(home), ...options.cliEnv };
  const command = (args: readonly string[]) => [node, program("cli"), ...args];
  const metrics = () => askMetrics(server, home);
  return {
    project,
    get server() {
      return server;
    },
    command,
    run: (args) => stopwatch.time(command(args), { cwd: project, env }),
    serverCpu: () => treeCpu(server.pid),
    serverOwnCpu: () => ownCpu(server.pid),
    settled: () => settled(() => treeCpu(server.pid)),
    async start() {
      server = await startIt();
    },
    async isWarm() {
      await until("a warm dbt", async () => {
        const { warm } = await metrics();
        return warm[0]?.stats?.isWarm === true && warm[0].stats.holders.some(({ isReady }) => isReady);
      });
    },
    async memory() {
      await until("all that is kept for the next run", async () => {
        const [warm] = (await metrics()).warm;
        return warm?.stats?.holders.every(({ isPrepared, sparePid }) => isPrepared && sparePid !== null);
      });
      const stats = (await metrics()).warm[0]?.stats;
      const MiB = (bytes: number) => bytes / 2 ** 20;
      return {
        serverMiB: memoryMiB(server.pid, "VmRSS"),
        parentMiB: MiB(stats?.rssBytes ?? 0),
        holdersMiB: MiB((stats?.holders ?? []).reduce((sum, { privateBytes }) => sum + privateBytes, 0)),
        manifests: stats?.holders.length ?? 0,
      };
    },
    stop: () => server.stop(),
  };
}

/** Each command finds a server that has just been started; in between, there is none. */
export async function startedSide(stopwatch: Stopwatch, project: string): Promise<Side> {
  const side = await remoteSide(stopwatch, project, { warm: true });
  await side.stop();
  return { ...side, begin: side.start, end: side.stop };
}

async function askMetrics(server: TestServer, home: string): Promise<MetricsAnswer> {
  const file = join(home, ".local", "state", "dbt-remote", "servers", `${server.port}.json`);
  const { token } = JSON.parse(readFileSync(file, "utf8")) as { token: string };
  const response = await fetch(`${server.url}/api/v1/metrics`, { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`/api/v1/metrics answered ${response.status}`);
  return (await response.json()) as MetricsAnswer;
}

const SETTLED_MS = 200;

async function settled(cpu: () => number): Promise<void> {
  let before = -1;
  await until("a server at rest", async () => {
    const now = cpu();
    if (now - before < 0.02 && before >= 0) return true;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
    return false;
  });
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

function ownCpu(pid: number): number {
  // utime and stime
  return sum(stat(pid)?.slice(11, 13)) / TICKS;
}

const sum = (fields: readonly string[] = []) => fields.reduce((total, field) => total + Number(field), 0);

function treeCpu(root: number): number {
  let ticks = 0;
  for (const pid of processTree(root)) {
    // utime, stime, and those of the children that it has waited for
    ticks += sum(stat(pid)?.slice(11, 15));
  }
  return ticks / TICKS;
}

/**
 * Peak resident memory of one process in MiB; what it has now with `VmRSS`; with `Pss` its share of it, in which what
 * several processes have in common counts once among them all.
 */
export function memoryMiB(pid: number, field: "VmHWM" | "VmRSS" | "Pss" = "VmHWM"): number {
  try {
    const file = `/proc/${pid}/${field === "Pss" ? "smaps_rollup" : "status"}`;
    const line = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(file, "utf8"));
    return Number(line?.[1]) / 1024;
  } catch {
    return Number.NaN;
  }
}
