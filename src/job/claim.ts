/** Makes a pending run this job's own, or finds out that it is not to be. */
import type { Run } from "../core/run.ts";
import type { CancellationStore } from "../state/cancellations.ts";
import type { Lease, LeaseStore } from "../state/leases.ts";
import type { RunStore } from "../state/runs.ts";
import { LEASE_TTL_MS } from "./heart.ts";

export interface ClaimParams {
  readonly runId: string;
  readonly root: 1 | 2;
  readonly runs: RunStore;
  readonly leases: LeaseStore;
  readonly cancellations: CancellationStore;
}

export type Claim =
  | { readonly claimed: true; readonly run: Run; readonly lease: Lease }
  /** Nothing is to be done; `why` is for whoever reads the job's own output. */
  | { readonly claimed: false; readonly why: string };

/** Takes the lease of the root, then the run. Who loses the race for either leaves no trace. */
export async function claimRun({ runId, root, runs, leases, cancellations }: ClaimParams): Promise<Claim> {
  const pending = await runs.require(runId);
  if (pending.status !== "pending") return { claimed: false, why: `the run is ${pending.status} already` };
  const turn = await leases.acquire(pending, root, LEASE_TTL_MS);
  if (turn.kind === "waiting") return { claimed: false, why: `root ${root} of its workspace is run ${turn.behind}'s` };
  const cancelled = await cancellations.get(runId);
  if (cancelled !== undefined) {
    // The server ends it: no job began it.
    await leases.release(turn.lease);
    return { claimed: false, why: "the run was cancelled" };
  }
  const { moved, run } = await runs.transition(runId, "running");
  if (moved) return { claimed: true, run, lease: turn.lease };
  // Not released where another job runs under it: the lease is the run's.
  if (run.status !== "running") await leases.release(turn.lease);
  return { claimed: false, why: `the run is ${run.status} already` };
}
