/** What the job's program is told through its environment by the executor that starts it. */
import { isAbsolute } from "node:path";
import { AppError } from "../core/errors.ts";

export interface JobSettings {
  readonly runId: string;
  /** Which of the workspace's two roots the run has the lease of. */
  readonly root: 1 | 2;
  readonly state: "local";
  /** Absolute; workspaces lie in it, and local State does. */
  readonly dataDir: string;
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

const OLDEST_NODE = 24;

/** Throws `node_too_old` with the version that is needed. */
export function checkNode(version: string): void {
  if (Number.parseInt(version.replace(/^v/, ""), 10) >= OLDEST_NODE) return;
  throw new AppError("node_too_old", `dbt-job needs Node ${OLDEST_NODE} or newer, this is ${version}.`, {
    hint: `Start dbt-server with Node ${OLDEST_NODE}: it starts its jobs with the Node it runs on.`,
  });
}

/** Throws `bad_argument` naming the variable that is missing or wrong. */
export function parseSettings(env: Readonly<Record<string, string | undefined>>): JobSettings {
  const optional = (name: string): string | undefined => (env[name] === "" ? undefined : env[name]);
  const required = (name: string): string => {
    const value = optional(name);
    if (value === undefined) throw wrong(name, value, "dbt-job is started by dbt-server, which sets it.");
    return value;
  };
  const root = Number(required("DBT_JOB_ROOT"));
  if (root !== 1 && root !== 2) throw wrong("DBT_JOB_ROOT", String(root), "It is 1 or 2.");
  const state = optional("DBT_SERVER_STATE") ?? "local";
  if (state !== "local") throw wrong("DBT_SERVER_STATE", state, "This version knows only local.");
  const dataDir = required("DBT_SERVER_DATA_DIR");
  if (!isAbsolute(dataDir)) throw wrong("DBT_SERVER_DATA_DIR", dataDir, "It has to be an absolute path.");
  return {
    runId: required("DBT_JOB_RUN_ID"),
    root,
    state,
    dataDir,
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

const DEFAULT_ANSWER_MS = 1000;

function warmPlace(socketPath: string | undefined, answerMs: string | undefined): JobSettings["warm"] {
  if (socketPath === undefined) return undefined;
  const asked = Number(answerMs);
  return { socketPath, answerMs: Number.isSafeInteger(asked) && asked > 0 ? asked : DEFAULT_ANSWER_MS };
}

function wrong(name: string, value: string | undefined, hint: string): AppError {
  const said = value === undefined ? `${name} is not set.` : `${name} is ${JSON.stringify(value)}.`;
  return new AppError("bad_argument", said, { hint });
}
