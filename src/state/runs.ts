/** Runs: made once, moved through their statuses by compare-and-set. */
import { createHash } from "node:crypto";
import { AppError } from "../core/errors.ts";
import { canTransition, type Run, type RunStatus } from "../core/run.ts";
import { update } from "./compare-and-set.ts";
import type { RecordStore, Unsubscribe } from "./port.ts";
import { listRuns, RUNS, type RunFilter } from "./run-list.ts";
import { type ResolveScope, RUN_NUMBERS, type RunNumber, resolveRun } from "./run-ref.ts";

export const IDEMPOTENCY = "idempotency";
/** How long an idempotency key stands for its run. */
export const IDEMPOTENCY_LIFETIME_MS = 24 * 60 * 60 * 1000;

/** What is known of a run when it is posted. */
export type NewRun = Omit<
  Run,
  | "number"
  | "status"
  | "reason"
  | "message"
  | "exitCode"
  | "dbtVersion"
  | "createdAt"
  | "startedAt"
  | "dbtFinished"
  | "finishedAt"
  | "logSize"
  | "logSha256"
  | "warnings"
  | "execution"
>;

/** What may change in the life of a run, beside its status. */
export type RunPatch = Partial<
  Pick<
    Run,
    | "reason"
    | "message"
    | "exitCode"
    | "dbtVersion"
    | "startedAt"
    | "dbtFinished"
    | "finishedAt"
    | "logSize"
    | "logSha256"
    | "warnings"
    | "target"
    | "execution"
  >
>;

export interface IdempotencyKey {
  readonly key: string;
  /** Hash of all that must be equal for the same key: command, snapshot, workspace, options. */
  readonly fingerprint: string;
}

export type Creation =
  | { readonly kind: "created" | "same"; readonly run: Run }
  /** The key stands for a run that was posted with another fingerprint. */
  | { readonly kind: "conflict"; readonly runId: string };

export interface Transition {
  /** False where the table forbids it, such as out of a terminal status. */
  readonly moved: boolean;
  /** The run as it is now. */
  readonly run: Run;
}

export interface RunStore {
  /** With a key seen before, the run is the earlier one and has its id. Only who gets `created` launches it. */
  create(run: NewRun, idempotency?: IdempotencyKey): Promise<Creation>;
  /** The run that a requester's idempotency key stands for now. */
  findByKey(requesterId: string, key: string): Promise<Run | undefined>;
  get(runId: string): Promise<Run | undefined>;
  /** As `get`; throws `run_not_found`. */
  require(runId: string): Promise<Run>;
  /** Moves the run if its status allows it. Sets `startedAt` and `finishedAt` unless the patch does. */
  transition(runId: string, to: RunStatus, patch?: RunPatch): Promise<Transition>;
  /** Changes what is not the status. A function sees the run as it is, and may be called again. */
  patch(runId: string, patch: RunPatch | ((run: Run) => RunPatch)): Promise<Run>;
  /** Newest first. */
  list(filter?: RunFilter): Promise<Run[]>;
  /** Finds what a user calls a run; throws `run_not_found` or `run_ambiguous`. */
  resolve(ref: string, scope: ResolveScope): Promise<Run>;
  watch(runId: string, onChange: () => void): Unsubscribe;
  watchAll(onChange: () => void): Unsubscribe;
  /** Forgets the record; what else belongs to the run is removed by `gc`. */
  remove(runId: string): Promise<void>;
}

export interface IdempotencyRecord {
  readonly runId: string;
  readonly fingerprint: string;
  readonly expiresAtMs: number;
}

export function createRunStore(records: RecordStore, now: () => number): RunStore {
  const iso = (): string => new Date(now()).toISOString();

  function notFound(runId: string): AppError {
    return new AppError("run_not_found", `There is no run ${runId}.`, { hint: "dbt-remote runs" });
  }

  async function get(runId: string): Promise<Run | undefined> {
    return (await records.get<Run>(RUNS, runId))?.data;
  }

  async function highestNumber(): Promise<number> {
    const [last] = await records.list<RunNumber>(RUN_NUMBERS, { orderBy: "number", direction: "descending", limit: 1 });
    return last?.data.number ?? 0;
  }

  async function claimNumber(runId: string): Promise<number> {
    for (let number = (await highestNumber()) + 1; ; number += 1) {
      if ((await records.create<RunNumber>(RUN_NUMBERS, String(number), { number, runId })) !== undefined)
        return number;
    }
  }

  async function insert(run: NewRun): Promise<Creation> {
    const number = await claimNumber(run.id);
    const complete: Run = {
      ...run,
      number,
      status: "pending",
      reason: null,
      message: null,
      exitCode: null,
      dbtVersion: null,
      createdAt: iso(),
      startedAt: null,
      dbtFinished: null,
      finishedAt: null,
      logSize: null,
      logSha256: null,
      warnings: [],
    };
    if ((await records.create<Run>(RUNS, run.id, complete)) !== undefined) return { kind: "created", run: complete };
    // A repeated post was faster; the number is a gap now.
    await records.remove(RUN_NUMBERS, String(number));
    const found = await get(run.id);
    if (found === undefined) throw notFound(run.id);
    return { kind: "same", run: found };
  }

  /** Who holds the key: this post, or an earlier one that has not expired. */
  async function claimKey(key: string, wanted: IdempotencyRecord): Promise<IdempotencyRecord> {
    for (;;) {
      if ((await records.create(IDEMPOTENCY, key, wanted)) !== undefined) return wanted;
      const found = await records.get<IdempotencyRecord>(IDEMPOTENCY, key);
      if (found === undefined) continue;
      if (found.data.expiresAtMs > now()) return found.data;
      if ((await records.replace(IDEMPOTENCY, key, wanted, found.version)) !== undefined) return wanted;
    }
  }

  const recordKey = (requesterId: string, key: string): string =>
    createHash("sha256").update(`${requesterId}\0${key}`).digest("hex");

  return {
    async create(run, idempotency) {
      if (idempotency === undefined) return insert(run);
      const key = recordKey(run.requester.id, idempotency.key);
      const { fingerprint } = idempotency;
      const expiresAtMs = now() + IDEMPOTENCY_LIFETIME_MS;
      const holder = await claimKey(key, { runId: run.id, fingerprint, expiresAtMs });
      if (holder.fingerprint !== fingerprint) return { kind: "conflict", runId: holder.runId };
      const found = await get(holder.runId);
      if (found !== undefined) return { kind: "same", run: found };
      // Ours, or that of a post which was cut off after it had claimed the key: this one completes it.
      return insert({ ...run, id: holder.runId });
    },
    async findByKey(requesterId, key) {
      const found = await records.get<IdempotencyRecord>(IDEMPOTENCY, recordKey(requesterId, key));
      return found === undefined || found.data.expiresAtMs <= now() ? undefined : get(found.data.runId);
    },
    get,
    async require(runId) {
      const run = await get(runId);
      if (run === undefined) throw notFound(runId);
      return run;
    },
    async transition(runId, to, patch = {}) {
      let moved = false;
      const run = await update<Run>(records, RUNS, runId, (current) => {
        moved = canTransition(current.status, to);
        if (!moved) return current;
        const times = to === "running" ? { startedAt: iso() } : { finishedAt: iso() };
        return { ...current, ...times, ...patch, status: to };
      });
      if (run === undefined) throw notFound(runId);
      return { moved, run };
    },
    async patch(runId, patch) {
      const run = await update<Run>(records, RUNS, runId, (current) => ({
        ...current,
        ...(typeof patch === "function" ? patch(current) : patch),
      }));
      if (run === undefined) throw notFound(runId);
      return run;
    },
    list: (filter = {}) => listRuns(records, filter),
    resolve: (ref, scope) => resolveRun(records, ref, scope),
    watch: (runId, onChange) => records.watch(RUNS, runId, onChange),
    watchAll: (onChange) => records.watchAll(RUNS, onChange),
    async remove(runId) {
      const run = await get(runId);
      await records.remove(RUNS, runId);
      // The highest number stays, so that it is never given to another run.
      if (run !== undefined && run.number !== (await highestNumber())) {
        await records.remove(RUN_NUMBERS, String(run.number));
      }
    },
  };
}
