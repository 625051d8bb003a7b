/** What a command works with: everything that main.ts reads from the process, passed on as a value. */
import type { Readable, Writable } from "node:stream";

export type Env = Readonly<Record<string, string | undefined>>;

/** A terminal or whatever stands in its place. */
export type Terminal = Writable & { readonly isTTY?: boolean; readonly columns?: number };

type Signal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** `process`, or what stands in for it. */
export interface SignalSource {
  on(signal: Signal, listener: () => void): unknown;
  off(signal: Signal, listener: () => void): unknown;
}

export interface CliContext {
  /** What was typed behind `dbt-remote`. */
  readonly argv: readonly string[];
  readonly env: Env;
  readonly cwd: string;
  readonly platform: NodeJS.Platform;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly signals: SignalSource;
}
