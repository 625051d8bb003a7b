/** All that is kept in a State, in the words of the domain. */
import { type ArtifactStore, createArtifactStore } from "./artifacts.ts";
import { type CancellationStore, createCancellationStore } from "./cancellations.ts";
import { createExecutionStore, type ExecutionStore } from "./executions.ts";
import { createFollowerStore, type FollowerStore } from "./followers.ts";
import { createHeartbeatStore, type HeartbeatStore } from "./heartbeats.ts";
import { createLeaseStore, type LeaseStore } from "./leases.ts";
import type { State } from "./port.ts";
import { createRunStore, type RunStore } from "./runs.ts";
import { createSnapshotStore, type SnapshotStore, type SnapshotStoreParams } from "./snapshots.ts";

export interface Stores {
  readonly runs: RunStore;
  readonly cancellations: CancellationStore;
  readonly heartbeats: HeartbeatStore;
  readonly followers: FollowerStore;
  readonly executions: ExecutionStore<"local" | "cloud-run">;
  readonly leases: LeaseStore;
  readonly snapshots: SnapshotStore;
  readonly artifacts: ArtifactStore;
}

export interface StoresParams {
  readonly state: State;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** How a snapshot's id is made of its entries. */
  readonly snapshotId: SnapshotStoreParams["snapshotId"];
}

export function createStores({ state, now, snapshotId }: StoresParams): Stores {
  const { records } = state;
  const runs = createRunStore(records, now);
  return {
    runs,
    cancellations: createCancellationStore(records, now),
    heartbeats: createHeartbeatStore(records, now),
    followers: createFollowerStore(records, now),
    executions: createExecutionStore(records, now),
    leases: createLeaseStore(records, runs, now),
    snapshots: createSnapshotStore({ state, now, snapshotId }),
    artifacts: createArtifactStore(state),
  };
}
