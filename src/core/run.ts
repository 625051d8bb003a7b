/** The life of a run: its record, its statuses and the one table of allowed transitions. Pure. */

export const RUN_STATUSES = ["pending", "running", "success", "failed", "cancelled"] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

/** Why a run failed. `dbt_failed`: dbt ended by itself with an exit code other than 0. */
export const FAILURE_REASONS = [
  "dbt_failed",
  "launch_failed",
  "job_failed",
  "dbt_killed",
  "lost",
  "timed_out",
  "out_of_memory",
  "envelope_expired",
] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

const TRANSITIONS: Readonly<Record<RunStatus, readonly RunStatus[]>> = {
  pending: ["running", "cancelled", "failed"],
  running: ["success", "failed", "cancelled"],
  success: [],
  failed: [],
  cancelled: [],
};

export function canTransition(from: RunStatus, to: RunStatus): boolean {
  return TRANSITIONS[from].includes(to);
}

export function isTerminal(status: RunStatus): boolean {
  return TRANSITIONS[status].length === 0;
}

/** Who asked for a run. `id` is stable and opaque, `label` is what people read. */
export interface Requester {
  readonly id: string;
  readonly label: string;
}

/** Writers take turns in a workspace; readers run beside a writer where the warehouse allows it. */
export type RunAccess = "read" | "write";

/** What the requester may set for one run; part of the idempotency fingerprint. */
export interface RunOptions {
  /** dbt is stopped when it has run this long. */
  readonly timeoutMs: number | null;
  /** The run is cancelled when nobody has followed it for this long. */
  readonly cancelOnDisconnectMs: number | null;
  readonly elementary: boolean;
  readonly jobProfile: string | null;
}

/**
 * `project`: the whole project was sent, as dbt supports it best.
 * `manifest`: only a manifest.json (at `target/manifest.json`) with dbt_project.yml and a few more files.
 */
export type RunMode = "project" | "manifest";

/** A file that the job puts in place before dbt starts, such as a file of a `--state` folder or a run_results.json to retry. */
export interface RunInput {
  /** Relative to the project's folder, or `@outside/<id>/…`. */
  readonly path: string;
  readonly sha256: string;
  readonly size: number;
}

/** The artifacts of an earlier run, put in place as a `--state` folder. */
export interface RunStateSource {
  /** Folder, as in `args`: `@outside/run-<id>`. */
  readonly path: string;
  readonly runId: string;
}

/** What is known at the moment dbt itself has ended, before the job has finished. */
export interface DbtFinished {
  /** dbt's own exit code; 128 + signal where dbt was killed. */
  readonly exitCode: number;
  /** Log offset behind dbt's last byte. */
  readonly dbtOffset: number;
  /** Whether a pack of the files that dbt changed can be fetched. */
  readonly targetPack: boolean;
  /** dbt was told to end before it did: only the run's own end tells why. Absent where it was not. */
  readonly stopped?: boolean;
  readonly at: string;
}

/** The record of a run as kept in State. Times are ISO 8601 in UTC, sizes are bytes. */
export interface Run {
  readonly id: string;
  readonly number: number;
  readonly status: RunStatus;
  readonly reason: FailureReason | null;
  /** A sentence on why the run failed or was cancelled. */
  readonly message: string | null;
  readonly exitCode: number | null;
  /** What was typed after `dbt-remote`, without dbt-remote's own options. */
  readonly command: readonly string[];
  /** What dbt gets: `command` with its paths made relative to the project or to `@outside/`. */
  readonly args: readonly string[];
  /** The dbt subcommand, such as `run` or `docs generate`; empty where there is none. */
  readonly verb: string;
  readonly access: RunAccess;
  readonly requester: Requester;
  /** Key of the workspace that the run works in. */
  readonly workspace: string;
  readonly workspaceName: string | null;
  readonly snapshotId: string;
  /** The project's folder inside the snapshot, `.` or a `/`-separated path. */
  readonly projectDir: string;
  readonly mode: RunMode;
  readonly inputs: readonly RunInput[];
  readonly stateSources: readonly RunStateSource[];
  /** A warehouse file (DuckDB, SQLite) that the profile names, as written there; readers then wait for writers. */
  readonly warehouseFile: string | null;
  readonly profileFrom: "client" | "server" | "none";
  /** Name of the dbt target, where it is known. */
  readonly target: string | null;
  readonly options: RunOptions;
  /** Names, never values, of the environment variables that were sent. */
  readonly envNames: readonly string[];
  readonly dbtVersion: string | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly dbtFinished: DbtFinished | null;
  readonly finishedAt: string | null;
  readonly logSize: number | null;
  readonly logSha256: string | null;
  /** What went wrong beside dbt, such as an artifact that could not be uploaded; never changes the exit code. */
  readonly warnings: readonly string[];
  /** Full name of the Cloud Run execution whose job claimed the run, or that came to nothing; absent elsewhere. */
  readonly execution?: string | null;
}

/** Verbs that write to the warehouse or run hooks; the rest read. */
const WRITERS: ReadonlySet<string> = new Set([
  "build",
  "run",
  "seed",
  "snapshot",
  "clone",
  "run-operation",
  "retry",
  "test",
  "source freshness",
  "deps",
  "clean",
]);

export function accessOf(verb: string): RunAccess {
  return WRITERS.has(verb) ? "write" : "read";
}
