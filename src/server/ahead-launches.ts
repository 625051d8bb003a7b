/**
 * Launches a run's job while its project is still on its way: a post is refused because the server lacks contents, and the
 * container starts while the client sends them. Its job waits until the same post, made again, has become a run of the id
 * that was kept for it. What has become of such a launch is told by its record alone, which changes by compare-and-set.
 */
import { createHash } from "node:crypto";
import { AppError } from "../core/errors.ts";
import type { Run } from "../core/run.ts";
import type { AheadRequest, Execution, Executor } from "../executors/port.ts";
import { update } from "../state/compare-and-set.ts";
import { type Ahead, EXECUTIONS, type LaunchClaim, withdrawAhead } from "../state/executions.ts";
import type { RecordStore } from "../state/port.ts";
import type { RunStore } from "../state/runs.ts";
import type { LaunchRecord } from "./launches.ts";

export interface AheadLaunchesParams {
  readonly records: RecordStore;
  readonly executor: Executor;
  readonly runs: Pick<RunStore, "get" | "findByKey">;
  /** As that of the launches. */
  readonly serverId: string;
  /** Id of the run that a new one would have to wait for. */
  readonly wouldWaitFor: (run: Pick<Run, "workspace" | "access" | "warehouseFile">) => Promise<string | undefined>;
  /** Launches what can be launched. */
  readonly dispatch: () => Promise<void>;
  /** This server launches no more of them within a minute: nobody may come for any. */
  readonly maxRuns: number;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

/** What of a post is known before its project is. */
export interface KeyedPost extends Pick<Run, "workspace" | "access"> {
  readonly requesterId: string;
  readonly key: string;
  readonly jobProfile: string | null;
}

/** None of these reject: what comes ahead is never needed. */
export interface AheadLaunch {
  /** For the post whose project is complete: the id of its run, where a job waits for it and no other post was faster. */
  promised(): Promise<string | undefined>;
  /** For the post that was refused: launches the job where only contents are missing, else nobody will come for it. */
  refused(error: unknown): Promise<void>;
  /** For the post that has become this run. */
  became(runId: string): Promise<void>;
}

export interface AheadLaunches {
  /** Looks what there is already; undefined where the jobs of such runs can't wait for them. */
  of(post: KeyedPost): AheadLaunch | undefined;
  /** Resolves when the executor has answered. */
  close(): Promise<void>;
}

/** The client sends what is missing, and posts once more. */
const COMES_BACK: ReadonlySet<string> = new Set(["snapshot_unknown", "blobs_missing"]);

const WITHIN_MS = 60_000;
/** A refusal waits so long at most for its launch to be under way. */
const REFUSAL_MS = 1_000;

export function createAheadLaunches(params: AheadLaunchesParams): AheadLaunches {
  const { records, executor, runs, serverId, wouldWaitFor, dispatch, maxRuns, now, onError } = params;
  let latestMs: readonly number[] = [];
  const underWay = new Set<Promise<void>>();

  /** Never rejects. */
  function inBackground(work: () => Promise<void>): Promise<void> {
    const done = work()
      .catch(onError)
      .finally(() => underWay.delete(done));
    underWay.add(done);
    return done;
  }

  const quietly = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      onError(error);
      return undefined;
    }
  };

  /** Its step may have changed since, or it may be a launch as any other by now. */
  const isOwn = (record: LaunchRecord, claim: LaunchClaim): boolean =>
    record.kind === "launching" && record.id === claim.id && record.launchedAtMs === claim.launchedAtMs;

  async function launch(runId: string, claim: LaunchClaim, start: () => Promise<Execution>): Promise<void> {
    let execution: Execution;
    try {
      execution = await start();
    } catch (error) {
      onError(error);
      await forget(runId, claim);
      // Where a run has it already, it is launched as any other, which reports its own error.
      return dispatch();
    }
    const record = await update<LaunchRecord>(records, EXECUTIONS, runId, (data) => {
      if (!isOwn(data, claim)) return data;
      const { ahead, launchedAtMs } = data;
      if (ahead !== undefined) return { ...execution, launchedAtMs, ahead };
      return { ...execution, launchedAtMs: now(), wasAhead: true };
    });
    // Where the run was launched by another meanwhile, its two jobs settle between them whose it is.
    if (record === undefined) await killUnwanted(runId, execution);
  }

  /** A post may have failed behind its run: the job may just have begun that. */
  async function killUnwanted(runId: string, execution: Execution): Promise<void> {
    if ((await runs.get(runId)) === undefined) await executor.kill(execution);
  }

  async function forget(runId: string, claim: LaunchClaim): Promise<void> {
    for (;;) {
      const found = await records.get<LaunchRecord>(EXECUTIONS, runId);
      if (found === undefined || !isOwn(found.data, claim)) return;
      if (await records.remove(EXECUTIONS, runId, found.version)) return;
    }
  }

  const isFull = (): boolean => {
    latestMs = latestMs.filter((each) => now() - each < WITHIN_MS);
    return latestMs.length >= maxRuns;
  };

  async function begin(post: KeyedPost, runId: string, start: () => Promise<Execution>): Promise<void> {
    if (isFull()) return;
    const { workspace, access, requesterId, key } = post;
    const inTheWay = await Promise.all([
      wouldWaitFor({ workspace, access, warehouseFile: null }),
      // The key may stand for a run whose contents are gone by now.
      runs.findByKey(requesterId, key),
      runs.get(runId),
    ]);
    if (inTheWay.some((each) => each !== undefined) || isFull()) return;
    const launchedAtMs = now();
    latestMs = [...latestMs, launchedAtMs];
    const claim: LaunchClaim = {
      ...{ kind: "launching", id: serverId, launchedAtMs },
      ahead: { step: "offered", sinceMs: launchedAtMs },
    };
    if ((await records.create<LaunchRecord>(EXECUTIONS, runId, claim)) === undefined) return;
    void inBackground(() => launch(runId, claim, start));
  }

  async function abandon(runId: string, step: Ahead["step"]): Promise<void> {
    const record = await withdrawAhead<LaunchRecord>(records, runId, [step]);
    if (record === undefined || record.kind === "launching") return;
    void inBackground(() => killUnwanted(runId, record));
  }

  return {
    of(post) {
      const runId = reservedRunId(post);
      const request: AheadRequest = { runId, jobProfile: post.jobProfile, access: post.access };
      const start = executor.ahead?.(request);
      if (start === undefined) return undefined;
      const found = quietly(() => records.get<LaunchRecord>(EXECUTIONS, runId));
      const isThere = async (): Promise<boolean> => (await found)?.data.ahead !== undefined;
      const promise = async (): Promise<boolean> => {
        if (!(await isThere())) return false;
        const ahead: Ahead = { step: "promised", sinceMs: now() };
        const record = await quietly(() =>
          update<LaunchRecord>(records, EXECUTIONS, runId, (data) =>
            data.ahead?.step === "offered" ? { ...data, ahead } : data,
          ),
        );
        return record?.ahead === ahead;
      };
      let promising: Promise<boolean> | undefined;

      return {
        async promised() {
          promising ??= promise();
          return (await promising) ? runId : undefined;
        },

        async refused(error) {
          const comesBack = error instanceof AppError && COMES_BACK.has(error.code);
          if (comesBack) {
            const launched = inBackground(async () => {
              if (!(await isThere())) await begin(post, runId, start);
            });
            await atMost(REFUSAL_MS, launched);
          } else if (await isThere()) {
            const isPromised = await promising;
            await quietly(() => abandon(runId, isPromised === true ? "promised" : "offered"));
          }
        },

        async became(id) {
          if (id !== runId && (await promising) === true) await quietly(() => abandon(runId, "promised"));
        },
      };
    },

    async close() {
      // One thing may have begun another.
      while (underWay.size > 0) await Promise.all(underWay);
    },
  };
}

/** Resolves with the work, which never rejects, or when it takes longer. */
async function atMost(limitMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

/**
 * Of the run that a post with this key becomes, where a job was launched for it ahead: a UUID of version 8. A post with
 * the same key and another job profile must not get a container of this one.
 */
function reservedRunId({ requesterId, key, jobProfile }: KeyedPost): string {
  const parts = JSON.stringify(["ahead", requesterId, key, jobProfile]);
  const hash = createHash("sha256").update(parts).digest();
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x80, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = hash.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
}
