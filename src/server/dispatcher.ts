/** Gives each pending run its turn: a root of its workspace, a place among the runs that may go on at once, and its launch. */
import { AppError } from "../core/errors.ts";
import type { Run, RunAccess } from "../core/run.ts";
import type { Executor } from "../executors/port.ts";
import { needsFirstRoot, type WorkspaceRoot } from "../state/leases.ts";
import type { Unsubscribe } from "../state/port.ts";
import type { Stores } from "../state/stores.ts";
import type { Launches } from "./launches.ts";
import type { RunEndings } from "./run-endings.ts";
import { inTurns } from "./turns.ts";

export interface DispatcherParams {
  readonly stores: Stores;
  readonly executor: Executor;
  readonly launches: Launches;
  readonly endings: RunEndings;
  /** How many runs may go on at once. */
  readonly maxRuns: number;
  readonly onError: (error: unknown) => void;
}

export interface Dispatcher {
  /** Looks at everything that waits; resolves when that is done. Never rejects. */
  dispatch(): Promise<void>;
  /** Id of the run that a pending one waits for; null where it waits for none. */
  waitingFor(runId: string): string | null;
  /** Calls back when what a run waits for has changed. */
  watchWaiting(runId: string, onChange: () => void): Unsubscribe;
  /** Id of the run that a new one would have to wait for; undefined where it could begin at once. */
  wouldWaitFor(run: {
    readonly workspace: string;
    readonly access: RunAccess;
    readonly warehouseFile: string | null;
  }): Promise<string | undefined>;
  /** Launches nothing more; resolves when the launch under way is done. */
  close(): Promise<void>;
}

/** The job renews its lease as soon as it has begun; until then this has to last. */
const LAUNCH_LEASE_MS = 60_000;

export function createDispatcher(params: DispatcherParams): Dispatcher {
  const { stores, executor, launches, endings, maxRuns, onError } = params;
  const { runs, leases, cancellations } = stores;
  const waiting = new Map<string, string>();
  const watchers = new Map<string, Set<() => void>>();
  let closed = false;

  /** Runs that have a job, and those that still need one, in the order of their numbers. */
  async function survey(): Promise<{ inFlight: Run[]; queue: Run[] }> {
    const active = (await runs.list({ statuses: ["pending", "running"] })).reverse();
    const inFlight: Run[] = [];
    const queue: Run[] = [];
    for (const run of active) {
      const launched = run.status === "running" || (await launches.get(run.id)) !== undefined;
      (launched ? inFlight : queue).push(run);
    }
    return { inFlight, queue };
  }

  async function pass(): Promise<void> {
    const { inFlight, queue } = await survey();
    const stillWaiting = new Map<string, string>();
    for (const run of queue) {
      // The reaper ends it.
      if ((await cancellations.get(run.id)) !== undefined) continue;
      const behind = await place(run, inFlight);
      if (behind === undefined) inFlight.push(run);
      else stillWaiting.set(run.id, behind);
    }
    tell(stillWaiting);
  }

  /** Launches the run if it is its turn; else the id of the run to wait for. */
  async function place(run: Run, inFlight: readonly Run[]): Promise<string | undefined> {
    const [oldest] = inFlight;
    if (closed || (oldest !== undefined && inFlight.length >= maxRuns)) {
      return (await leases.behind(run, 1)) ?? oldest?.id;
    }
    const first = await leases.acquire(run, 1, LAUNCH_LEASE_MS);
    if (first.kind === "acquired") return launch(run, 1);
    if (needsFirstRoot(run)) return first.behind;
    const second = await leases.acquire(run, 2, LAUNCH_LEASE_MS);
    return second.kind === "acquired" ? launch(run, 2) : second.behind;
  }

  async function launch(run: Run, root: WorkspaceRoot): Promise<undefined> {
    if (!(await launches.claim(run.id))) return;
    try {
      const { id: runId, workspace, options } = run;
      const { jobProfile, timeoutMs } = options;
      await launches.done(runId, await executor.launch({ runId, workspace, root, jobProfile, timeoutMs }));
    } catch (error) {
      onError(error);
      const message = error instanceof AppError ? error.message : "The job could not be launched.";
      await endings.endPending(run, { status: "failed", reason: "launch_failed", message });
    }
  }

  function tell(next: ReadonlyMap<string, string>): void {
    const before = new Map(waiting);
    waiting.clear();
    for (const [runId, behind] of next) waiting.set(runId, behind);
    for (const runId of new Set([...before.keys(), ...next.keys()])) {
      if (before.get(runId) === next.get(runId)) continue;
      for (const callback of watchers.get(runId) ?? []) callback();
    }
  }

  const dispatch = inTurns(() => (closed ? Promise.resolve() : pass().catch(onError)));

  return {
    dispatch,

    waitingFor: (runId) => waiting.get(runId) ?? null,

    watchWaiting(runId, onChange) {
      const callbacks = watchers.get(runId) ?? new Set();
      watchers.set(runId, callbacks);
      const callback = (): void => onChange();
      callbacks.add(callback);
      return () => {
        callbacks.delete(callback);
        if (callbacks.size === 0 && watchers.get(runId) === callbacks) watchers.delete(runId);
      };
    },

    async wouldWaitFor(run) {
      const { inFlight, queue } = await survey();
      // Behind all that are there now.
      const queued = { ...run, id: "new", number: Number.MAX_SAFE_INTEGER };
      const behindFirst = await leases.behind(queued, 1);
      const behind = behindFirst === undefined || needsFirstRoot(run) ? behindFirst : await leases.behind(queued, 2);
      return behind ?? (inFlight.length + queue.length >= maxRuns ? (inFlight[0] ?? queue[0])?.id : undefined);
    },

    async close() {
      closed = true;
      await dispatch();
    },
  };
}
