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

const FRESH_MS = 2_000;
/** An executor that can't be asked must not keep its runs from being shown. */
const LONGEST_MS = 5_000;
const REMEMBERED = 1_000;

/** `freshMs`: a run that was looked after within this time is taken to be as it was. */
export type Reconcile = (run: Run, freshMs?: number) => Promise<Run>;

interface Look {
  readonly found: Promise<Run>;
  readonly atMs: number;
  isUnderWay: boolean;
}

/** The run as it is in truth. Whoever asks meanwhile for the same waits for the same answer. */
export function createReconciler({ reaper, runs, dispatch, now }: ReconcilerParams): Reconcile {
  const looks = new Map<string, Look>();

  async function look(run: Run): Promise<Run> {
    await reaper.look(run);
    const after = (await runs.get(run.id)) ?? run;
    // It waits for its turn; or its workspace is free, and the next one need not wait for somebody's tick.
    if (after.status !== "running") await dispatch();
    return (await runs.get(run.id)) ?? after;
  }

  function begin(run: Run): Look {
    const entry: Look = { found: look(run), atMs: now(), isUnderWay: true };
    entry.found
      .catch(() => undefined)
      .finally(() => {
        entry.isUnderWay = false;
      });
    looks.set(run.id, entry);
    for (const oldest of looks.keys()) {
      if (looks.size <= REMEMBERED) break;
      looks.delete(oldest);
    }
    return entry;
  }

  return async (run, freshMs = FRESH_MS) => {
    if (isTerminal(run.status)) return run;
    const known = looks.get(run.id);
    const entry = known !== undefined && (known.isUnderWay || now() - known.atMs < freshMs) ? known : begin(run);
    const seen = await inTime(entry.found, run, entry.atMs + LONGEST_MS - now());
    // What was just read may be newer.
    return isTerminal(seen.status) || seen.status === run.status ? seen : run;
  };
}

/** The run as it was where that takes too long. */
async function inTime(found: Promise<Run>, run: Run, limitMs: number): Promise<Run> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Run>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, limitMs), run);
  });
  try {
    return await Promise.race([found, late]);
  } finally {
    clearTimeout(timer);
  }
}
