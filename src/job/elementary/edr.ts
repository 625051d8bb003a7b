/** Runs Elementary's program, `edr`, to its end. */
import { spawn } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { isProgram } from "../../dbt/is-program.ts";
import type { StopSwitch } from "../stopping.ts";

/** Beside the Python that runs dbt, else on dbt's PATH; undefined where it is not installed. */
export function findEdr(
  python: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const folders = [...(python === undefined ? [] : [dirname(python)]), ...(env["PATH"] ?? "").split(delimiter)];
  return folders.map((folder) => join(folder, "edr")).find(isProgram);
}

export interface EdrParams {
  readonly edr: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stop: StopSwitch;
  readonly timeoutMs: number;
}

export interface EdrEnding {
  /** Null where a signal ended it. */
  readonly exitCode: number | null;
  readonly isTimeout: boolean;
  /** The end of what it printed. */
  readonly output: string;
}

const KEPT_OUTPUT = 64 * 1024;

/** In a process group of its own: `edr` runs dbt in turn. */
export function runEdr({ edr, args, cwd, env, stop, timeoutMs }: EdrParams): Promise<EdrEnding> {
  return new Promise((resolve, reject) => {
    const child = spawn(edr, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let output = "";
    let isTimeout = false;
    let hasEnded = false;
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString("utf8")).slice(-KEPT_OUTPUT);
    };
    const kill = (): void => {
      if (hasEnded || child.pid === undefined) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It is gone already.
      }
    };
    const timer = setTimeout(() => {
      isTimeout = true;
      kill();
    }, timeoutMs);
    stop.onPressed(kill);
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", (error) => {
      hasEnded = true;
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (exitCode) => {
      hasEnded = true;
      clearTimeout(timer);
      resolve({ exitCode, isTimeout, output });
    });
  });
}
