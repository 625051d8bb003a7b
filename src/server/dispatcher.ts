/** Gives each pending run its turn: a root of its workspace, a place among the runs that may go on at once, and its launch. */
import { AppError } from "../core/errors.ts";
import type { Run, RunAccess } from "../core/run.ts";
import type { Execution, Executor } from "../executors/port.ts";
import { needsFirstRoot, type WorkspaceRoot } from "../state/leases.ts";
import type { Unsubscribe } from "../state/port.ts";
import type { Stores } from "../state/stores.ts";
import type { Launch, Launches } from "./launches.ts";
import type { RunEndings } from "./run-endings.ts";
import { inTurns } from "./turns.ts";

export interface DispatcherParams {
  readonly stores: Stores;
  readonly executor: Executor;
  readonly launches: Launches;
  readonly endings: RunEndings;
  /** How many runs may go on at once, whichever servers launch them. */
  readonly maxRuns: number;
  /** Whether no other server can be alive. */
  readonly isAlone: boolean;
  /** A launched run's lease has to last until its job renews it. */
  readonly launchLeaseMs: number;
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

export function createDispatcher(params: DispatcherParams): Dispatcher {
  const { stores, executor, launches, endings, maxRuns, isAlone, launchLeaseMs, onError } = params;
  const { runs, leases, cancellations } = stores;
  const waiting = new Map<string, string>();
  const watchers = new Map<string, Set<() => void>>();
  let closed = false;

  /** Runs that have a job, and those that still need one, in the order of their numbers. */
  async function survey(): Promise<{ inFlight: Run[]; queue: Run[] }> {
    const active = (await runs.list({ statuses: ["pending", "running"] })).reverse();
    const inFlight: Run[] = [];
    const queue: Run[] = [];
    const underWay = await Promise.all(
      active.map(async (run) => run.status === "running" || (await launches.isUnderWay(run.id))),
    );
    for (const [at, run] of active.entries()) (underWay[at] === true ? inFlight : queue).push(run);
    return { inFlight, queue };
  }

  async function pass(): Promise<void> {
    const { inFlight, queue } = await survey();
    const stillWaiting = new Map<string, string>();
    const starting: Promise<void>[] = [];
    for (const run of queue) {
      // The reaper ends it.
      if ((await cancellations.get(run.id)) !== undefined) continue;
      const turn = await place(run, inFlight);
      if (typeof turn === "string") stillWaiting.set(run.id, turn);
      else {
        inFlight.push(run);
        // One that takes long must not keep the others.
        if (turn !== undefined) starting.push(launch(run, turn));
      }
    }
    tell(stillWaiting);
    await Promise.all(starting);
  }

  /** The root for the run to be launched in if it is its turn; else the id of the run to wait for. */
  async function place(run: Run, inFlight: readonly Run[]): Promise<WorkspaceRoot | string | undefined> {
    const [oldest] = inFlight;
    if (closed || (oldest !== undefined && inFlight.length >= maxRuns)) {
      return (await leases.behind(run, 1)) ?? oldest?.id;
    }
    const first = await leases.acquire(run, 1, launchLeaseMs);
    if (first.kind === "acquired") return 1;
    if (needsFirstRoot(run)) return first.behind;
    const second = await leases.acquire(run, 2, launchLeaseMs);
    return second.kind === "acquired" ? 2 : second.behind;
  }

  async function launch(run: Run, root: WorkspaceRoot): Promise<void> {
    try {
      const claimed = await launches.claim(run.id);
      // Another server was faster.
      if (claimed.kind === "no") return;
      if (claimed.kind === "adopted") {
        await adopt(run, claimed.launch);
        return;
      }
      if (!isAlone && !(await hasPlace(run))) {
        await launches.forget(run.id);
        lookAgain();
        return;
      }
      const execution = await start(run, root);
      if (execution !== undefined) await launches.done(run.id, execution);
    } catch (error) {
      // State that is out of reach: the claim is taken over in a while.
      onError(error);
    }
  }

  /** Lets the waiting job begin; where that has come to nothing meanwhile, the run is launched as any other. */
  async function adopt(run: Run, launch: Launch | undefined): Promise<void> {
    const [mayBegin, hasEnded] = await Promise.all([isAlone || hasPlace(run), launch !== undefined && isGone(launch)]);
    if (hasEnded) await launches.withdraw(run.id);
    else if (!mayBegin) {
      await launches.giveBack(run.id);
      lookAgain();
      return;
    } else if (await launches.letGo(run.id)) return;
    void dispatch();
  }

  /** False where the executor does not say it soon: the job would wait, and give up. */
  async function isGone(launch: Launch): Promise<boolean> {
    const looked = executor.status(launch).then(
      ({ state }) => state === "gone",
      () => false,
    );
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, LONGEST_LOOK_MS, false);
    });
    try {
      return await Promise.race([looked, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Whether a claimed run is one of those that may go on. Servers that launch at the same moment did not see each other's
   * claims before they made their own, but whoever claimed last now sees all of them. Those with a higher number give way.
   */
  async function hasPlace(run: Run): Promise<boolean> {
    for (let looks = 1; ; looks += 1) {
      const { inFlight } = await survey();
      if (inFlight.length <= maxRuns) return true;
      const mayGiveWay = inFlight.some(({ status, number }) => status === "pending" && number > run.number);
      if (!mayGiveWay || looks === LOOKS) return false;
      await new Promise((resume) => setTimeout(resume, LOOK_PAUSE_MS * (0.5 + Math.random())));
    }
  }

  /** Nobody else tells that a place was free after all. */
  function lookAgain(): void {
    setTimeout(() => void dispatch(), GAVE_WAY_MS * (1 + Math.random())).unref();
  }

  async function start(run: Run, root: WorkspaceRoot): Promise<Execution | undefined> {
    const { id: runId, workspace, access, options } = run;
    const { jobProfile, timeoutMs } = options;
    try {
      return await executor.launch({ runId, workspace, root, jobProfile, timeoutMs, access });
    } catch (error) {
      onError(error);
      const message = error instanceof AppError ? withHint(error) : "The job could not be launched.";
      await endings.endPending(run, { status: "failed", reason: "launch_failed", message });
      return undefined;
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

/** How long one that gave way waits, so that no record is written more often than once a second. */
const GAVE_WAY_MS = 2_000;
/** How often others are looked at that may give way. */
const LOOKS = 8;
const LOOK_PAUSE_MS = 100;
/** How long it takes at most to ask after a job that was launched ahead. */
const LONGEST_LOOK_MS = 2_000;

function withHint({ message, hint }: AppError): string {
  return hint === undefined ? message : `${message} ${hint}`;
}
