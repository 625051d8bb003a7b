/** Which execution a run was launched as, kept so that any server can ask its executor about it. */
import type { RecordStore } from "./port.ts";

export const EXECUTIONS = "executions";

/** An `Execution` of the executor port, with the time of its launch. */
export interface LaunchedExecution<Kind extends string = string> {
  readonly kind: Kind;
  readonly id: string;
  readonly launchedAtMs: number;
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
