/** Keeps a process at hand that has imported dbt, so that jobs need not: started behind the server, replaced when it ends. */
import { startWarmParent, type WarmParent, type WarmParentOptions, type WarmParentStats } from "../dbt/warm-parent.ts";

export interface WarmParentsOptions extends Omit<WarmParentOptions, "python"> {
  /** A parent that no launch has asked for in this long is ended; the next launch starts another. */
  readonly idleMs: number;
  /** Told what becomes of parents. */
  readonly debug: (text: string) => void;
}

/** How a job reaches the parent. */
export interface WarmPlace {
  readonly socketPath: string;
  /** How long a job should wait for an answer, before it starts dbt itself. */
  readonly answerMs: number;
}

/** One that retires may still have runs. */
export interface WarmParentState {
  readonly state: "starting" | "ready" | "retired";
  readonly startedAt: string;
  /** Null while it starts, or where it does not answer. */
  readonly stats: WarmParentStats | null;
}

export interface WarmParents {
  /** Called at every launch, and once at the start; undefined where there is none for now. */
  at(python: string): WarmPlace | undefined;
  states(): Promise<WarmParentState[]>;
  /** They end with the last of their runs, and none is started any more. */
  close(): void;
}

interface Kept {
  readonly python: string;
  readonly parent: WarmParent;
  readonly startedMs: number;
  isRetired: boolean;
}

/** Importing dbt takes a job of its own as long: it may as well wait for a parent that is at it. */
const IMPORT_MS = 20_000;
/** A busy machine forks late; a new process would be later still. */
const ANSWER_MS = 3_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 5 * 60_000;
/** How often it is looked for idle ones. */
const LOOK_MS = 60_000;

export function createWarmParents(options: WarmParentsOptions): WarmParents {
  const { idleMs, debug } = options;
  const kept = new Set<Kept>();
  let current: Kept | undefined;
  let usedMs = Date.now();
  let failures = 0;
  let notBeforeMs = 0;
  let isClosed = false;

  const start = (python: string): void => {
    const parent = startWarmParent({ ...options, python });
    const one: Kept = { python, parent, startedMs: Date.now(), isRetired: false };
    kept.add(one);
    current = one;
    void parent.ready.then(() => {
      debug(`a warm dbt is ready after ${Date.now() - one.startedMs} ms (process ${parent.pid})`);
    });
    void parent.retired.then((inOrder) => {
      one.isRetired = true;
      if (current === one) current = undefined;
      if (inOrder) failures = 0;
      else pause();
      // At once where runs come, so that the next finds it ready; else, and after a pause, with the next launch.
      if (inOrder && !isClosed && current === undefined && Date.now() - usedMs < idleMs) start(python);
    });
    void parent.ended.then((why) => {
      kept.delete(one);
      debug(`the warm dbt of process ${parent.pid} is gone: ${why}`);
    });
  };

  const pause = (): void => {
    notBeforeMs = Date.now() + Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS);
    failures += 1;
  };

  const look = setInterval(() => void endIdle(), Math.min(LOOK_MS, idleMs));
  look.unref();

  async function endIdle(): Promise<void> {
    if (current === undefined || Date.now() - usedMs < idleMs) return;
    const { parent } = current;
    debug(`the warm dbt was not used for ${Math.round(idleMs / 60_000)} minutes: process ${parent.pid} ends`);
    parent.stop();
  }

  return {
    at(python) {
      usedMs = Date.now();
      if (isClosed) return undefined;
      if (current !== undefined && current.python !== python) {
        current.parent.stop();
        current = undefined;
      }
      if (current === undefined) {
        if (Date.now() < notBeforeMs) return undefined;
        start(python);
      }
      if (current === undefined) return undefined;
      const { parent, startedMs } = current;
      const leftMs = parent.isReady ? 0 : startedMs + IMPORT_MS - Date.now();
      return { socketPath: parent.socketPath, answerMs: Math.max(ANSWER_MS, leftMs) };
    },

    states: () => Promise.all([...kept].map(describe)),

    close() {
      isClosed = true;
      clearInterval(look);
      for (const { parent } of kept) parent.stop();
    },
  };
}

async function describe({ parent, startedMs, isRetired }: Kept): Promise<WarmParentState> {
  const state = isRetired ? "retired" : parent.isReady ? "ready" : "starting";
  const stats = state === "ready" ? await parent.stats().catch(() => null) : null;
  return { state, startedAt: new Date(startedMs).toISOString(), stats };
}
