/** What the job's program is told through its environment by the executor that starts it. */
import { isAbsolute, join } from "node:path";
import { parseDurationMs } from "../config/option-kinds.ts";
import { AppError } from "../core/errors.ts";
import { AHEAD_WAIT_MS } from "./pace.ts";

export interface JobSettings {
  readonly runId: string;
  /** Which of the workspace's two roots the run has the lease of; undefined: State says it. */
  readonly root: 1 | 2 | undefined;
  /** Where State is; undefined: in the data folder. */
  readonly google: GooglePlace | undefined;
  /** Absolute; workspaces lie in it, and local State does. */
  readonly dataDir: string;
  /** The one folder to work in, whatever the workspace, of a container that runs nothing else. */
  readonly fixedBase: string | undefined;
  /** The execution of a Cloud Run Job that this is, by its full name. */
  readonly execution: string | undefined;
  /** Google ends the job when it has run this long. */
  readonly taskTimeoutMs: number | undefined;
  /** From the job's start, until it no longer waits for a run that is not there. */
  readonly aheadWaitMs: number;
  /** The server to wake for the next run. */
  readonly wakeUrl: string | undefined;
  /** Python that has dbt; undefined: the first that is found. */
  readonly python: string | undefined;
  /** Folder of the server's own profiles.yml. */
  readonly profilesDir: string | undefined;
  /** Names of the executing side's variables that dbt may see, beside the usual ones. */
  readonly jobEnv: readonly string[];
  /** A process that has loaded dbt, and how long to wait for its answer. */
  readonly warm: { readonly socketPath: string; readonly answerMs: number } | undefined;
  /** Whether to say in the job's own output how dbt is started. */
  readonly debug: boolean;
}

export interface GooglePlace {
  readonly projectId: string;
  readonly bucket: string;
  readonly database: string | undefined;
}

const OLDEST_NODE = 24;
const CONTAINER_DATA_DIR = "/tmp/dbt-remote";

/** Throws `node_too_old` with the version that is needed. */
export function checkNode(version: string): void {
  if (Number.parseInt(version.replace(/^v/, ""), 10) >= OLDEST_NODE) return;
  throw new AppError("node_too_old", `dbt-job needs Node ${OLDEST_NODE} or newer, this is ${version}.`, {
    hint: `Start dbt-server with Node ${OLDEST_NODE}: it starts its jobs with the Node it runs on.`,
  });
}

/** Where the job works, known before all else. */
export function dataDirOf(env: Readonly<Record<string, string | undefined>>): string {
  return env["DBT_SERVER_DATA_DIR"] || CONTAINER_DATA_DIR;
}

/** Throws `bad_argument` naming the variable that is missing or wrong. */
export function parseSettings(env: Readonly<Record<string, string | undefined>>): JobSettings {
  const optional = (name: string): string | undefined => (env[name] === "" ? undefined : env[name]);
  const required = (name: string): string => {
    const value = optional(name);
    if (value === undefined) throw wrong(name, value, "dbt-job is started by dbt-server, which sets it.");
    return value;
  };
  const state = optional("DBT_SERVER_STATE") ?? "local";
  if (state !== "local" && state !== "gcp") throw wrong("DBT_SERVER_STATE", state, "It is local or gcp.");
  const isGoogle = state === "gcp";
  // A launch on Cloud Run tells the run's id alone.
  const rootText = isGoogle ? optional("DBT_JOB_ROOT") : required("DBT_JOB_ROOT");
  const root = rootText === undefined ? undefined : Number(rootText);
  if (root !== undefined && root !== 1 && root !== 2) throw wrong("DBT_JOB_ROOT", rootText, "It is 1 or 2.");
  const dataDir = isGoogle ? dataDirOf(env) : required("DBT_SERVER_DATA_DIR");
  if (!isAbsolute(dataDir)) throw wrong("DBT_SERVER_DATA_DIR", dataDir, "It has to be an absolute path.");
  const timeout = optional("DBT_JOB_TASK_TIMEOUT");
  const taskTimeoutMs = timeout === undefined ? undefined : parseDurationMs(timeout);
  if (timeout !== undefined && taskTimeoutMs === undefined) {
    throw wrong("DBT_JOB_TASK_TIMEOUT", timeout, "It is a length of time such as 21600s.");
  }
  return {
    runId: required("DBT_JOB_RUN_ID"),
    root,
    google: isGoogle
      ? {
          projectId: required("PROJECT_ID"),
          bucket: required("BUCKET_NAME"),
          database: optional("FIRESTORE_DATABASE"),
        }
      : undefined,
    dataDir,
    fixedBase: root === undefined ? join(dataDir, "run") : undefined,
    execution: executionName(optional),
    taskTimeoutMs,
    aheadWaitMs: positive(optional("DBT_JOB_AHEAD_WAIT_MS")) ?? AHEAD_WAIT_MS,
    wakeUrl: optional("DBT_JOB_WAKE_URL")?.replace(/\/+$/, ""),
    python: optional("DBT_SERVER_PYTHON"),
    profilesDir: optional("DBT_SERVER_PROFILES_DIR"),
    jobEnv: (env["DBT_SERVER_JOB_ENV"] ?? "")
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== ""),
    warm: warmPlace(optional("DBT_JOB_WARM_SOCKET"), optional("DBT_JOB_WARM_ANSWER_MS")),
    debug: optional("DBT_JOB_DEBUG") !== undefined,
  };
}

/** Cloud Run tells the last part itself; where the rest is not known, the run is found by its launch alone. */
function executionName(optional: (name: string) => string | undefined): string | undefined {
  const parts = ["PROJECT_ID", "LOCATION", "CLOUD_RUN_JOB", "CLOUD_RUN_EXECUTION"].map(optional);
  if (parts.includes(undefined)) return undefined;
  const [project, location, job, execution] = parts;
  return `projects/${project}/locations/${location}/jobs/${job}/executions/${execution}`;
}

const DEFAULT_ANSWER_MS = 1000;

function warmPlace(socketPath: string | undefined, answerMs: string | undefined): JobSettings["warm"] {
  if (socketPath === undefined) return undefined;
  return { socketPath, answerMs: positive(answerMs) ?? DEFAULT_ANSWER_MS };
}

function positive(text: string | undefined): number | undefined {
  const number = Number(text);
  return Number.isSafeInteger(number) && number > 0 ? number : undefined;
}

function wrong(name: string, value: string | undefined, hint: string): AppError {
  const said = value === undefined ? `${name} is not set.` : `${name} is ${JSON.stringify(value)}.`;
  return new AppError("bad_argument", said, { hint });
}
