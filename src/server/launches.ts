/**
 * Which runs were launched, and as what. A launch is claimed before it is tried, so that no two servers try it, and a
 * claim of a server that is gone is taken over; a job that was started twice all the same claims its run only once.
 */
import type { Execution } from "../executors/port.ts";
import { update } from "../state/compare-and-set.ts";
import {
  EXECUTIONS,
  type ExecutionStore,
  type LaunchClaim,
  type LaunchedExecution,
  withdrawAhead,
} from "../state/executions.ts";
import type { RecordStore } from "../state/port.ts";

export type Launch = LaunchedExecution<Execution["kind"]>;
/** What is written down of a run's launch. */
export type LaunchRecord = LaunchClaim | Launch;

/**
 * `claimed`: who asked may launch the run now. `adopted`: it was launched ahead, as `launch` where that is known already,
 * and its job waits to be let go.
 */
export type Claimed =
  | { readonly kind: "claimed" }
  | { readonly kind: "adopted"; readonly launch: Launch | undefined }
  | { readonly kind: "no" };

export interface Launches {
  claim(runId: string): Promise<Claimed>;
  /** Writes down what the claimed launch has become. */
  done(runId: string, execution: Execution): Promise<void>;
  /** Gives a claim back, or forgets the launch of a run that has ended. */
  forget(runId: string): Promise<void>;
  /** Lets the job of an adopted launch begin; false where that is gone meanwhile. */
  letGo(runId: string): Promise<boolean>;
  /** Gives an adopted launch back: its job goes on waiting. */
  giveBack(runId: string): Promise<void>;
  /** Forgets an adopted launch whose job has ended, if it is not another's by now. */
  withdraw(runId: string): Promise<void>;
  /** Forgets a launch that was let go and came to nothing, if it is that one still: the run may be launched once more. */
  forgetLetGo(runId: string, launch: Launch): Promise<void>;
  /** Undefined where the run was not launched, or is being launched now. */
  get(runId: string): Promise<Launch | undefined>;
  /** Whether the run was launched, or somebody is at it now. */
  isUnderWay(runId: string): Promise<boolean>;
}

export interface LaunchesParams {
  readonly records: RecordStore;
  readonly executions: ExecutionStore<Execution["kind"]>;
  /** This server's own, new at each start. */
  readonly serverId: string;
  /** Whether no other server can be alive: then any other's claim is one of a server that is gone. */
  readonly isAlone: boolean;
  readonly now: () => number;
}

/** Longer than a launch is tried; clocks of servers may differ by some seconds. */
const CLAIM_MS = 90_000;
/**
 * For one made ahead, whose server may have gone before it asked for anything: a run must not wait for that. Where the
 * answer was only late, two containers are launched, and one finds that there is nothing to do.
 */
const AHEAD_CLAIM_MS = 15_000;
/** Nobody knows what has become of a container that was launched ahead so long ago: its job waits for a minute. */
const AHEAD_MS = 15 * 60_000;

export function createLaunches({ records, executions, serverId, isAlone, now }: LaunchesParams): Launches {
  const isStale = ({ id, launchedAtMs, ahead, wasAhead }: LaunchClaim): boolean => {
    const lastsMs = ahead !== undefined || wasAhead === true ? AHEAD_CLAIM_MS : CLAIM_MS;
    return (isAlone && id !== serverId) || now() - launchedAtMs > lastsMs;
  };

  const isBusy = (record: LaunchRecord): boolean => {
    const { ahead } = record;
    if (ahead !== undefined) return ahead.step === "taken" && now() - ahead.sinceMs <= CLAIM_MS;
    return record.kind !== "launching" || !isStale(record);
  };

  const isAdoptable = (record: LaunchRecord): boolean =>
    record.ahead !== undefined &&
    (record.kind === "launching" ? !isStale(record) : now() - record.launchedAtMs <= AHEAD_MS);

  return {
    async claim(runId) {
      const claim: LaunchClaim = { kind: "launching", id: serverId, launchedAtMs: now() };
      if ((await records.create<LaunchRecord>(EXECUTIONS, runId, claim)) !== undefined) return { kind: "claimed" };
      const found = await records.get<LaunchRecord>(EXECUTIONS, runId);
      if (found === undefined || isBusy(found.data)) return { kind: "no" };
      const { data, version } = found;
      const isAdopted = isAdoptable(data);
      const next = isAdopted ? { ...data, ahead: { step: "taken", sinceMs: now() } as const } : claim;
      if ((await records.replace<LaunchRecord>(EXECUTIONS, runId, next, version)) === undefined) return { kind: "no" };
      return isAdopted
        ? { kind: "adopted", launch: data.kind === "launching" ? undefined : data }
        : { kind: "claimed" };
    },
    done: (runId, execution) => executions.put(runId, execution),
    forget: (runId) => executions.remove(runId),
    async letGo(runId) {
      const record = await update<LaunchRecord>(records, EXECUTIONS, runId, (data) => {
        if (data.ahead === undefined) return data;
        const { ahead: _, ...launch } = data;
        const letGo = { ...launch, wasAhead: true } as const;
        // From now on it has its time to begin; a claim keeps the time by which its server knows it.
        return letGo.kind === "launching" ? letGo : { ...letGo, launchedAtMs: now() };
      });
      return record !== undefined;
    },
    async giveBack(runId) {
      await update<LaunchRecord>(records, EXECUTIONS, runId, (data) =>
        data.ahead?.step === "taken" ? { ...data, ahead: { step: "promised", sinceMs: now() } } : data,
      );
    },
    async withdraw(runId) {
      await withdrawAhead(records, runId, ["taken"]);
    },
    async forgetLetGo(runId, { kind, id }) {
      const found = await records.get<LaunchRecord>(EXECUTIONS, runId);
      const isThat = found?.data.wasAhead === true && found.data.kind === kind && found.data.id === id;
      if (isThat) await records.remove(EXECUTIONS, runId, found.version);
    },
    async get(runId) {
      const data = (await records.get<LaunchRecord>(EXECUTIONS, runId))?.data;
      return data === undefined || data.kind === "launching" || data.ahead !== undefined ? undefined : data;
    },
    async isUnderWay(runId) {
      const found = await records.get<LaunchRecord>(EXECUTIONS, runId);
      return found !== undefined && isBusy(found.data);
    },
  };
}
