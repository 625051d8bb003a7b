/** Two executors as one: runs that only read go to one of them, all others to the other. */
import type { Executor, LaunchRequest } from "./port.ts";

export interface ByAccess {
  readonly reads: Executor;
  /** Gives its kind to the whole. */
  readonly others: Executor;
}

/** Their executions are told apart by their kinds, which have to differ. */
export function createExecutorByAccess({ reads, others }: ByAccess): Executor {
  const both = [reads, others];
  const of = (kind: Executor["kind"]): Executor => (kind === reads.kind ? reads : others);
  const forAccess = (access: LaunchRequest["access"]): Executor => (access === "read" ? reads : others);
  return {
    kind: others.kind,
    launch: (request) => forAccess(request.access).launch(request),
    ahead: (request) => forAccess(request.access).ahead?.(request),
    status: (execution) => of(execution.kind).status(execution),
    kill: (execution) => of(execution.kind).kill(execution),
    onExit(callback) {
      for (const executor of both) executor.onExit(callback);
    },
    async drain(withinMs) {
      await Promise.all(both.map((executor) => executor.drain?.(withinMs)));
    },
    async close() {
      await Promise.all(both.map((executor) => executor.close()));
    },
  };
}
