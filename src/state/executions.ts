/** Which execution a run was launched as, kept so that any server can ask its executor about it. */
import type { RecordStore } from "./port.ts";

export const EXECUTIONS = "executions";

/**
 * On a launch that was made ahead, before its run was there; gone as soon as the job may begin.
 * `offered`: no post has come back for it. `promised`: a post has, whose run gets its id. `taken`: a server has given the
 * run its turn, and still counts the places.
 */
export interface Ahead {
  readonly step: "offered" | "promised" | "taken";
  readonly sinceMs: number;
}

/** An `Execution` of the executor port, with the time of its launch. */
export interface LaunchedExecution<Kind extends string = string> {
  readonly kind: Kind;
  readonly id: string;
  readonly launchedAtMs: number;
  readonly ahead?: Ahead;
  /** It was made ahead, and its job has been let go since. */
  readonly wasAhead?: true;
}

/** Made before a launch is tried. */
export interface LaunchClaim {
  readonly kind: "launching";
  /** The server whose it is. */
  readonly id: string;
  readonly launchedAtMs: number;
  readonly ahead?: Ahead;
  readonly wasAhead?: true;
}

export interface ExecutionStore<Kind extends string = string> {
  put(runId: string, execution: { readonly kind: Kind; readonly id: string }): Promise<void>;
  get(runId: string): Promise<LaunchedExecution<Kind> | undefined>;
  remove(runId: string): Promise<void>;
}

export function createExecutionStore<Kind extends string = string>(
  records: RecordStore,
  now: () => number,
): ExecutionStore<Kind> {
  return {
    put: (runId, { kind, id }) =>
      records.put<LaunchedExecution<Kind>>(EXECUTIONS, runId, { kind, id, launchedAtMs: now() }),
    get: async (runId) => (await records.get<LaunchedExecution<Kind>>(EXECUTIONS, runId))?.data,
    async remove(runId) {
      await records.remove(EXECUTIONS, runId);
    },
  };
}

/**
 * Removes a launch that was made ahead, if it is at one of these steps still. Tells what it was; undefined where there is
 * none, or it has gone on.
 */
export async function withdrawAhead<Record extends LaunchedExecution | LaunchClaim>(
  records: RecordStore,
  runId: string,
  steps: readonly Ahead["step"][],
): Promise<Record | undefined> {
  for (;;) {
    const found = await records.get<Record>(EXECUTIONS, runId);
    if (found?.data.ahead === undefined || !steps.includes(found.data.ahead.step)) return undefined;
    if (await records.remove(EXECUTIONS, runId, found.version)) return found.data;
  }
}
