/** Makes a pending run this job's own, or finds out that it is not to be. */
import type { Run } from "../core/run.ts";
import type { CancellationStore } from "../state/cancellations.ts";
import type { Lease, LeaseStore } from "../state/leases.ts";
import type { RunStore } from "../state/runs.ts";
import type { Awaited } from "./await-run.ts";
import { LOCAL_PACE } from "./pace.ts";

export interface ClaimParams {
  readonly runId: string;
  /** Undefined: the one that was leased for the run when it was launched. */
  readonly root: 1 | 2 | undefined;
  readonly leaseTtlMs?: number;
  /** Written down with the claim. */
  readonly execution?: string | undefined;
  readonly runs: RunStore;
  readonly leases: LeaseStore;
  readonly cancellations: CancellationStore;
  /** Where the job may have been launched before its run was there. */
  readonly awaited?: Promise<Awaited> | undefined;
}

export type Claim =
  | { readonly claimed: true; readonly run: Run; readonly lease: Lease }
  /** Nothing is to be done; `why` is for whoever reads the job's own output. */
  | { readonly claimed: false; readonly why: string };

/** Takes the lease of the root, then the run. Who loses the race for either leaves no trace. */
export async function claimRun(params: ClaimParams): Promise<Claim> {
  const { runId, leaseTtlMs = LOCAL_PACE.leaseTtlMs, execution, runs, leases, cancellations } = params;
  const [awaited, found] = await Promise.all([params.awaited, runs.get(runId)]);
  if (awaited?.kind === "give-up") return { claimed: false, why: awaited.why };
  // What was read at first may be from before the run was there.
  const pending = found === undefined || awaited?.hasWaited === true ? await runs.get(runId) : found;
  // Its post has failed.
  if (pending === undefined) return { claimed: false, why: "there is no such run" };
  if (pending.status !== "pending") return { claimed: false, why: `the run is ${pending.status} already` };
  const root = params.root ?? ((await leases.holder(pending.workspace, 2)) === runId ? 2 : 1);
  const turn = await leases.acquire(pending, root, leaseTtlMs);
  if (turn.kind === "waiting") return { claimed: false, why: `root ${root} of its workspace is run ${turn.behind}'s` };
  const cancelled = await cancellations.get(runId);
  if (cancelled !== undefined) {
    // The server ends it: no job began it.
    await leases.release(turn.lease);
    return { claimed: false, why: "the run was cancelled" };
  }
  const { moved, run } = await runs.transition(runId, "running", execution === undefined ? {} : { execution });
  if (moved) return { claimed: true, run, lease: turn.lease };
  // Not released where another job runs under it: the lease is the run's.
  if (run.status !== "running") await leases.release(turn.lease);
  return { claimed: false, why: `the run is ${run.status} already` };
}
