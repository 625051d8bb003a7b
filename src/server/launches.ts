/**
 * Which runs were launched, and as what. A launch is claimed before it is tried, so that no two servers try it, and a
 * claim of a server that is gone is taken over; a job that was started twice all the same claims its run only once.
 */
import type { Execution } from "../executors/port.ts";
import { EXECUTIONS, type ExecutionStore } from "../state/executions.ts";
import type { RecordStore } from "../state/port.ts";

export interface Launch extends Execution {
  readonly launchedAtMs: number;
}

export interface Launches {
  /** True for the one who may launch the run now. */
  claim(runId: string): Promise<boolean>;
  /** Writes down what the claimed launch has become. */
  done(runId: string, execution: Execution): Promise<void>;
  /** Gives a claim back, or forgets the launch of a run that has ended. */
  forget(runId: string): Promise<void>;
  /** Undefined where the run was not launched, or is being launched now. */
  get(runId: string): Promise<Launch | undefined>;
  /** Whether the run was launched, or somebody is at it now. */
  isUnderWay(runId: string): Promise<boolean>;
}

interface Claim {
  readonly kind: "launching";
  /** Whose it is. */
  readonly id: string;
  readonly launchedAtMs: number;
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

export function createLaunches({ records, executions, serverId, isAlone, now }: LaunchesParams): Launches {
  const isStale = ({ id, launchedAtMs }: Claim): boolean =>
    (isAlone && id !== serverId) || now() - launchedAtMs > CLAIM_MS;

  return {
    async claim(runId) {
      const claim: Claim = { kind: "launching", id: serverId, launchedAtMs: now() };
      if ((await records.create(EXECUTIONS, runId, claim)) !== undefined) return true;
      const found = await records.get<Claim | Launch>(EXECUTIONS, runId);
      if (found === undefined || found.data.kind !== "launching" || !isStale(found.data)) return false;
      return (await records.replace(EXECUTIONS, runId, claim, found.version)) !== undefined;
    },
    done: (runId, execution) => executions.put(runId, execution),
    forget: (runId) => executions.remove(runId),
    async get(runId) {
      const found = await records.get<Claim | Launch>(EXECUTIONS, runId);
      return found === undefined || found.data.kind === "launching" ? undefined : found.data;
    },
    async isUnderWay(runId) {
      const found = await records.get<Claim | Launch>(EXECUTIONS, runId);
      return found !== undefined && (found.data.kind !== "launching" || !isStale(found.data));
    },
  };
}
