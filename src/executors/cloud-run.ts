/**
 * Cloud Run Jobs: one Job resource per profile, made once; each run is an execution of it. What is overridden is the
 * run's id and nothing else: all else is in the Job's own environment, or in State.
 */
import { AppError } from "../core/errors.ts";
import type { RunClient, RunExecution } from "../gcp/run.ts";
import { endOf, waitsFor } from "./cloud-run-status.ts";
import type { AheadRequest, Execution, ExecutionStatus, Executor } from "./port.ts";

/** What Jobs are launched, made and looked at with. */
export type CloudRunClient = RunClient;

export interface CloudRunExecutorOptions {
  readonly client: Pick<RunClient, "runJob" | "getExecution" | "cancelExecution" | "listTasks">;
  readonly projectId: string;
  readonly location: string;
  /** Names of Jobs by the names of their profiles; the first is for runs that name none. */
  readonly jobs: ReadonlyMap<string, string>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Google is asked about one execution at most this often, however many want to know. */
const FRESH_MS = 2_000;
/** Ends never change, and are asked for again and again. */
const REMEMBERED = 1_000;

export function createCloudRunExecutor(options: CloudRunExecutorOptions): Executor {
  const { client, projectId, location, jobs, now } = options;
  const known = new Map<
    string,
    { readonly status: Promise<ExecutionStatus>; readonly atMs: number; isFinal: boolean }
  >();

  const jobFor = (profile: string | null): string | undefined =>
    profile === null ? [...jobs.values()][0] : jobs.get(profile);

  function jobOf(profile: string | null): string {
    const job = jobFor(profile);
    if (job === undefined) throw unknownProfile(profile ?? "", [...jobs.keys()]);
    return `projects/${projectId}/locations/${location}/jobs/${job}`;
  }

  async function launch({ runId, jobProfile }: AheadRequest): Promise<Execution> {
    const job = jobOf(jobProfile);
    const { name } = await client.runJob(job, {
      containerOverrides: [{ env: [{ name: "DBT_JOB_RUN_ID", value: runId }] }],
    });
    if (name === undefined) {
      throw new AppError("internal", `Google launched ${job}, but did not say as which execution.`);
    }
    return { kind: "cloud-run", id: name };
  }

  async function look(name: string): Promise<ExecutionStatus> {
    const execution = await client.getExecution(name);
    if (execution === undefined) return VANISHED;
    if (!hasEnded(execution)) {
      const waiting = waitsFor(execution);
      return { state: "alive", ...(waiting !== undefined && { waitingFor: waiting }) };
    }
    return endOf(execution, await client.listTasks(name));
  }

  return {
    kind: "cloud-run",

    launch,
    // Whether its run is there already, the job finds out by itself.
    ahead: (request) => (jobFor(request.jobProfile) === undefined ? undefined : () => launch(request)),

    async status({ id }) {
      if (!EXECUTION.test(id)) return NOT_OURS;
      const found = known.get(id);
      if (found !== undefined && (found.isFinal || now() - found.atMs < FRESH_MS)) return found.status;
      const entry = { status: look(id), atMs: now(), isFinal: false };
      known.set(id, entry);
      for (const oldest of known.keys()) {
        if (known.size <= REMEMBERED) break;
        known.delete(oldest);
      }
      try {
        const status = await entry.status;
        entry.isFinal = status.state === "gone";
        return status;
      } catch (error) {
        known.delete(id);
        throw error;
      }
    },

    async kill({ id }) {
      if (!EXECUTION.test(id)) return;
      await client.cancelExecution(id);
      if (known.get(id)?.isFinal === false) known.delete(id);
    },

    // Google tells nobody; the job's own end and the reaper do.
    onExit: () => undefined,
    close: async () => undefined,
  };
}

const EXECUTION = /^projects\/[^/]+\/locations\/[^/]+\/jobs\/[^/]+\/executions\/[^/]+$/;

const VANISHED: ExecutionStatus = {
  ...{ state: "gone", exitCode: null, signal: null, outOfMemory: false },
  reason: "Google knows its execution no longer; it or its Job was deleted",
};

/** Of another executor, which alone can have seen its end. */
const NOT_OURS: ExecutionStatus = { ...VANISHED, reason: null };

function hasEnded({ completionTime, conditions = [] }: RunExecution): boolean {
  if (completionTime !== undefined) return true;
  const state = conditions.find(({ type }) => type === "Completed")?.state;
  return state === "CONDITION_FAILED" || state === "CONDITION_SUCCEEDED";
}

/** The error of who asks for a profile that there is not. */
export function unknownProfile(name: string, known: readonly string[]): AppError {
  return new AppError("bad_argument", `There is no job profile ${JSON.stringify(name)}.`, {
    hint: `Use --job-profile with one of: ${known.join(", ")}`,
  });
}
