/** Every read of a run brings it in line with the truth, for no server may have been alive when its job went. */
import { isTerminal, type Run } from "../core/run.ts";
import type { RunStore } from "../state/runs.ts";
import type { Reaper } from "./reaper.ts";

export interface ReconcilerParams {
  readonly reaper: Pick<Reaper, "look">;
  readonly runs: Pick<RunStore, "get">;
  /** Launches what can be launched. */
  readonly dispatch: () => Promise<void>;
  readonly now: () => number;
}

/** A run that is asked for again within this time is taken to be as it was. */
const FRESH_MS = 2_000;
/** An executor that can't be asked must not keep its runs from being shown. */
const LONGEST_MS = 10_000;
const REMEMBERED = 1_000;

/** The run as it is in truth. Whoever asks meanwhile for the same waits for the same answer. */
export function createReconciler({ reaper, runs, dispatch, now }: ReconcilerParams): (run: Run) => Promise<Run> {
  const looks = new Map<string, { readonly done: Promise<Run>; readonly atMs: number }>();

  async function look(run: Run): Promise<Run> {
    await reaper.look(run);
    const after = (await runs.get(run.id)) ?? run;
    // It waits for its turn; or its workspace is free, and the next one need not wait for somebody's tick.
    if (after.status !== "running") await dispatch();
    return (await runs.get(run.id)) ?? after;
  }

  return async (run) => {
    if (isTerminal(run.status)) return run;
    const found = looks.get(run.id);
    if (found !== undefined && now() - found.atMs < FRESH_MS) {
      const seen = await found.done;
      // What was just read may be newer.
      return isTerminal(seen.status) || seen.status === run.status ? seen : run;
    }
    const done = inTime(look(run), run);
    looks.set(run.id, { done, atMs: now() });
    for (const oldest of looks.keys()) {
      if (looks.size <= REMEMBERED) break;
      looks.delete(oldest);
    }
    return done;
  };
}

async function inTime(looked: Promise<Run>, run: Run): Promise<Run> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Run>((resolve) => {
    timer = setTimeout(resolve, LONGEST_MS, run);
  });
  try {
    return await Promise.race([looked, late]);
  } finally {
    clearTimeout(timer);
  }
}
