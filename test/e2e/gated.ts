/** Runs that go on until the test opens their gate: how to start them, ask about them, and find their processes. */
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, type TestContext } from "node:test";
import { createClient } from "../../src/api/client.ts";
import type { RunView } from "../../src/api/schemas/runs.ts";
import { type CliOptions, copyProject, root, startCli, type TestServer, tempFolder, until } from "../harness.ts";
import type { Program } from "../programs.ts";
import { requirePart } from "../require.ts";

export const gatedProfiles: string = join(root, "test", "fixtures", "projects", "gated-profiles");

/** A machine under load takes its time. */
export const PATIENCE_MS = 120_000;

export interface Gate {
  readonly path: string;
  open(): void;
}

export function newGate(): Gate {
  const path = join(tempFolder("gate"), "open");
  return { path, open: () => writeFileSync(path, "") };
}

/** Arguments of a dbt command that prints numbered lines until the gate opens. */
export function countUntil(gate: Gate, more: { readonly then_fail?: boolean } = {}): string[] {
  return ["run-operation", "count_until", "--args", JSON.stringify({ gate: gate.path, ...more })];
}

/** Arguments that make the model `gate` wait for the gate. */
export function gateVars(gate: Gate): string[] {
  return ["--vars", JSON.stringify({ gate: gate.path })];
}

export interface Checkout {
  readonly project: string;
  /** Starts dbt-remote in the project; without a server it looks for one in its home. */
  start(args: readonly string[], options?: CliOptions): Program;
}

const started: Program[] = [];
// What a failed test has left running would keep its file from ending.
after(() => {
  for (const each of started) each.kill("SIGKILL");
});

/** A copy of the gated project, with a workspace of its own. */
export function newCheckout(server: TestServer | undefined, home?: string): Checkout {
  const project = copyProject("gated");
  return {
    project,
    start(args, options = {}) {
      const cli = startCli(args, {
        cwd: project,
        timeoutMs: 300_000,
        ...(server && { server }),
        ...(home !== undefined && { home }),
        ...options,
        env: { DBT_PROFILES_DIR: gatedProfiles, ...options.env },
      });
      started.push(cli);
      return cli;
    },
  };
}

/** The token with which a server has registered. */
export function tokenOf({ home, port }: Pick<TestServer, "home" | "port">): string {
  const file = join(home, ".local", "state", "dbt-remote", "servers", `${port}.json`);
  return (JSON.parse(readFileSync(file, "utf8")) as { token: string }).token;
}

/** The API as a client of the requester `tester` sees it. */
export function apiOf(server: TestServer): ReturnType<typeof createClient> {
  return createClient({ baseUrl: server.url, token: tokenOf(server), clientId: "tester", userLabel: "tester", fetch });
}

/** The newest run of the server. */
export async function newestRun(server: TestServer): Promise<RunView> {
  const { runs } = await apiOf(server).runs({ limit: 1 });
  const [run] = runs;
  if (run === undefined) throw new Error("there is no run yet");
  return run;
}

/** The run as soon as it is as wanted. */
export function runWhen(
  server: TestServer,
  runId: string,
  what: string,
  isWanted: (run: RunView) => boolean,
  timeoutMs = PATIENCE_MS,
): Promise<RunView> {
  return until(
    `run ${runId}: ${what}`,
    async () => {
      const run = await apiOf(server).run(runId);
      return isWanted(run) && run;
    },
    timeoutMs,
  );
}

/** The run of a program that prints dbt's text, once it does. */
export async function runOf(server: TestServer, program: Program, text: RegExp): Promise<RunView> {
  await printed(program, text);
  return newestRun(server);
}

/** Resolves when the program has printed it on stdout or stderr; fails at once where it ended before. */
export async function printed(program: Program, text: RegExp): Promise<void> {
  let ended = false;
  program.done
    .finally(() => {
      ended = true;
    })
    .catch(() => undefined);
  await until(
    `${text}`,
    () => {
      const hasEnded = ended;
      if (text.test(program.stdout()) || text.test(program.stderr())) return true;
      if (hasEnded) throw new Error(`it ended without ${text}:\n${program.stdout()}\n${program.stderr()}`);
      return false;
    },
    PATIENCE_MS,
  );
}

/** How many of the numbered lines of `countUntil` a text has; throws where one is missing, torn or there twice. */
export function countedLines(text: string): number {
  const numbers = [...text.matchAll(/^line (\d+) of a run that goes on$/gm)].map(([, number]) => Number(number));
  for (const [index, number] of numbers.entries()) {
    if (index !== number) throw new Error(`line ${index} is line ${number}, after\n${text.slice(0, 300)}`);
  }
  const loose = text.match(/of a run that goes on/g)?.length ?? 0;
  if (loose !== numbers.length) throw new Error(`${loose - numbers.length} lines are torn:\n${text}`);
  return numbers.length;
}

/** What dbt printed on stdout, as State keeps it. */
export async function storedStdout(server: TestServer, runId: string): Promise<string> {
  const chunks: Buffer[] = [];
  for (let offset = 0; ; ) {
    const page = await apiOf(server).log(runId, { offset });
    for (const { channel, bytes } of page.segments) if (channel === "out") chunks.push(Buffer.from(bytes, "base64"));
    if (page.segments.length === 0) return Buffer.concat(chunks).toString();
    offset = page.nextOffset;
  }
}

/** For tests that look up or measure processes. */
export function requireProc(context: TestContext): boolean {
  return requirePart(context, "/proc", existsSync("/proc/self/stat"), "processes are looked up there (Linux)");
}

export interface RunProcesses {
  readonly job: number;
  readonly dbt: number;
}

/** Finds the job by its environment, and dbt by the folder that it works in. Linux only. */
export async function processesOf(server: TestServer, run: RunView): Promise<RunProcesses> {
  const workspace = join(server.dataDir, "workspaces", run.workspace);
  return until("the processes of the run", () => {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    const job = pids.find((pid) =>
      read(() => readFileSync(`/proc/${pid}/environ`, "latin1")).includes(`DBT_JOB_RUN_ID=${run.id}`),
    );
    const dbt = pids.find((pid) => read(() => readlinkSync(`/proc/${pid}/cwd`)).startsWith(workspace));
    return job !== undefined && dbt !== undefined && { job: Number(job), dbt: Number(dbt) };
  });
}

export function isAlive(pid: number): boolean {
  // One that only waits to be reaped is gone.
  return !/^\d+ \(.*\) [ZX]/s.test(read(() => readFileSync(`/proc/${pid}/stat`, "utf8")) || "0 () X");
}

function read(action: () => string): string {
  try {
    return action();
  } catch {
    return "";
  }
}
