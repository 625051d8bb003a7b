/** The engine port: how a job drives dbt, whether as a new process or as a fork of a warm parent. */
import type { Readable } from "node:stream";

export interface DbtInvocation {
  /** dbt's argv without the program's name. */
  readonly args: readonly string[];
  /** Absolute path; the project's root. */
  readonly cwd: string;
  /** The whole environment of the process; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** A manifest.json to work from instead of parsing the project (manifest-only mode). */
  readonly manifestPath?: string;
  /** Whether dbt's debug events are wanted as well. An engine may leave them out. */
  readonly debugEvents?: boolean;
}

export interface DbtExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * A running dbt. The three streams end when dbt has closed them; each must be read to its end or destroyed. `exit`
 * resolves after that, and never rejects.
 */
export interface DbtProcess {
  readonly pid: number;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** dbt's structured events, NDJSON as of `--log-format json`, unscrubbed. */
  readonly events: Readable;
  readonly exit: Promise<DbtExit>;
  /** Signals the whole process group of dbt, as Ctrl-C on a terminal does. False when dbt is gone already. */
  signal(signal: "SIGINT" | "SIGTERM" | "SIGKILL"): boolean;
}

export interface DbtEngine {
  /** Version of dbt, such as `1.11.16`. */
  readonly version: string;
  /** Names of the installed adapters, such as `duckdb`. */
  readonly adapters: readonly string[];
  /** Told as soon as it is known that a run is likely to come, so that all is there when it does. Never throws. */
  announce?(invocation: DbtInvocation): void;
  start(invocation: DbtInvocation): Promise<DbtProcess>;
}
