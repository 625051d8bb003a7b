/** Times whole processes through one long-lived Python program, so that starting costs all that is compared the same. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { python } from "../test/programs.ts";

export interface Timing {
  readonly code: number;
  /** Unix time, in seconds. */
  readonly startedAt: number;
  /** Seconds, start to exit. */
  readonly wall: number;
  /** Seconds of CPU, of the process and of its children. */
  readonly cpu: number;
  readonly maxRssKb: number;
  /** Seconds until the first byte on stdout; null where there was none. */
  readonly firstLine: number | null;
  /** [seconds since the start, Unix time in seconds, text] */
  readonly lines: readonly (readonly [number, number, string])[];
  readonly stderr: string;
}

export interface Stopwatch {
  time(argv: readonly string[], options: { cwd: string; env: Record<string, string> }): Promise<Timing>;
  close(): void;
}

export function openStopwatch(): Stopwatch {
  const child = spawn(python, [join(import.meta.dirname, "stopwatch.py")], { stdio: ["pipe", "pipe", "inherit"] });
  const waiting: ((timing: Timing) => void)[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => waiting.shift()?.(JSON.parse(line) as Timing));
  return {
    time: (argv, { cwd, env }) =>
      new Promise((resolve) => {
        waiting.push(resolve);
        child.stdin.write(`${JSON.stringify({ argv, cwd, env })}\n`);
      }),
    close: () => child.stdin.end(),
  };
}
