/** The engine that starts dbt as a new process, under the Python driver that reports its events. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { AppError } from "../core/errors.ts";
import { dbtProcess } from "./dbt-process.ts";
import type { DbtEngine, DbtExit, DbtInvocation, DbtProcess } from "./port.ts";

const DRIVER = fileURLToPath(new URL("../dbt/driver/dbt_driver.py", import.meta.url));
const EVENTS_FD = 3;

export interface ProcessEngineOptions {
  /** Absolute path of the Python that has dbt. */
  readonly python: string;
  readonly version: string;
  readonly adapters: readonly { readonly name: string }[];
}

/** dbt as a new process for every run, in a session and process group of its own, without a terminal or stdin. */
export function createProcessEngine(options: ProcessEngineOptions): DbtEngine {
  return {
    version: options.version,
    adapters: options.adapters.map((adapter) => adapter.name),
    start: (invocation) => start(options.python, invocation),
  };
}

async function start(python: string, invocation: DbtInvocation): Promise<DbtProcess> {
  const child = await spawnDriver(python, invocation);
  const exited = new Promise<DbtExit>((done) => {
    child.once("exit", (code, signal) => done({ code, signal }));
  });
  const [stdout, stderr, events] = [1, 2, EVENTS_FD].map((fd) => child.stdio[fd]) as [Readable, Readable, Readable];
  return dbtProcess({ pid: child.pid ?? 0, exited, stdout, stderr, events });
}

async function spawnDriver(python: string, invocation: DbtInvocation): Promise<ChildProcess> {
  try {
    const manifest = invocation.manifestPath === undefined ? [] : ["--manifest", invocation.manifestPath];
    const debug = invocation.debugEvents === true ? ["--debug-events", "1"] : [];
    const own = [DRIVER, "--events-fd", String(EVENTS_FD), ...debug, ...manifest];
    const child = spawn(python, [...own, "--", ...invocation.args], {
      cwd: invocation.cwd,
      env: { ...invocation.env },
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    await once(child, "spawn");
    return child;
  } catch (cause) {
    throw startError(python, invocation, cause);
  }
}

function startError(python: string, invocation: DbtInvocation, cause: unknown): AppError {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === "E2BIG" || code === "ERR_INVALID_ARG_VALUE") {
    return new AppError("bad_argument", `The system does not take dbt's command line: ${text(cause)}`, {
      hint: "Shorten the arguments, such as a long --vars or --select (a file of selectors.yml does instead).",
      cause,
    });
  }
  if (!existsSync(invocation.cwd)) {
    return new AppError("internal", `dbt could not be started: there is no folder ${invocation.cwd}`, { cause });
  }
  return new AppError("dbt_not_found", `dbt could not be started with ${python}: ${text(cause)}`, {
    hint: "Name a Python that has dbt with --python PATH.",
    cause,
  });
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
