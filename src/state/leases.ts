/**
 * Turns in a workspace. A run has a root of its workspace to itself while it holds the root's lease; a lease that is not
 * renewed expires, and one whose holder has ended counts for nothing. The queue is the order of the runs' numbers.
 */
import { isTerminal, type Run } from "../core/run.ts";
import { update } from "./compare-and-set.ts";
import type { RecordStore, Unsubscribe } from "./port.ts";
import type { RunStore } from "./runs.ts";

export const LEASES = "leases";

/** 1: the workspace's own. 2: for a reader that meets a running run. */
export type WorkspaceRoot = 1 | 2;

export interface Lease {
  readonly workspace: string;
  readonly root: WorkspaceRoot;
  readonly runId: string;
  readonly expiresAtMs: number;
}

export type Acquisition =
  | { readonly kind: "acquired"; readonly lease: Lease }
  /** `behind`: id of the run to wait for; it holds the root, or is next in the queue. */
  | { readonly kind: "waiting"; readonly behind: string };

/** What a run's place in the queue depends on. */
export type Queued = Pick<Run, "id" | "number" | "workspace" | "access" | "warehouseFile">;

export interface LeaseStore {
  /** Takes the root if it is this run's turn. A run that holds it already keeps it, for another `ttlMs`. */
  acquire(run: Queued, root: WorkspaceRoot, ttlMs: number): Promise<Acquisition>;
  /** False when the lease is another's by now: the holder must stop touching the root. */
  renew(lease: Lease, ttlMs: number): Promise<boolean>;
  release(lease: Pick<Lease, "workspace" | "root" | "runId">): Promise<void>;
  /** Id of the run that holds the root now. */
  holder(workspace: string, root: WorkspaceRoot): Promise<string | undefined>;
  /** Id of the run that this one would have to wait for, without taking anything. */
  behind(run: Queued, root: WorkspaceRoot): Promise<string | undefined>;
  watch(workspace: string, root: WorkspaceRoot, onChange: () => void): Unsubscribe;
}

/** Whether a run can only work in the first root: writers do, and readers of a warehouse file, which wait for writers. */
export function needsFirstRoot(run: Pick<Run, "access" | "warehouseFile">): boolean {
  return run.access === "write" || run.warehouseFile !== null;
}

export function createLeaseStore(records: RecordStore, runs: RunStore, now: () => number): LeaseStore {
  const keyOf = (workspace: string, root: WorkspaceRoot): string => `${workspace}.${root}`;

  async function isLive(lease: Lease): Promise<boolean> {
    if (lease.expiresAtMs <= now()) return false;
    const run = await runs.get(lease.runId);
    return run !== undefined && !isTerminal(run.status);
  }

  async function holder(workspace: string, root: WorkspaceRoot): Promise<string | undefined> {
    const found = await records.get<Lease>(LEASES, keyOf(workspace, root));
    return found !== undefined && (await isLive(found.data)) ? found.data.runId : undefined;
  }

  /** The first in the queue for this root with a smaller number. */
  async function ahead(run: Queued, root: WorkspaceRoot): Promise<string | undefined> {
    const active = await runs.list({ workspace: run.workspace, statuses: ["pending", "running"], before: run.number });
    const inFirst = root === 2 ? await holder(run.workspace, 1) : undefined;
    const queue = active.filter((other) => needsFirstRoot(other) === (root === 1) && other.id !== inFirst);
    return queue.at(-1)?.id;
  }

  async function behind(run: Queued, root: WorkspaceRoot): Promise<string | undefined> {
    const current = await holder(run.workspace, root);
    if (current === run.id) return undefined;
    return current ?? ahead(run, root);
  }

  return {
    async acquire(run, root, ttlMs) {
      const key = keyOf(run.workspace, root);
      for (;;) {
        const found = await records.get<Lease>(LEASES, key);
        const waitFor = await behind(run, root);
        if (waitFor !== undefined) return { kind: "waiting", behind: waitFor };
        const lease: Lease = { workspace: run.workspace, root, runId: run.id, expiresAtMs: now() + ttlMs };
        const stored =
          found === undefined
            ? await records.create(LEASES, key, lease)
            : await records.replace(LEASES, key, lease, found.version);
        if (stored !== undefined) return { kind: "acquired", lease };
      }
    },
    async renew(lease, ttlMs) {
      const kept = await update<Lease>(records, LEASES, keyOf(lease.workspace, lease.root), (current) =>
        current.runId === lease.runId ? { ...current, expiresAtMs: now() + ttlMs } : current,
      );
      return kept?.runId === lease.runId;
    },
    async release({ workspace, root, runId }) {
      const key = keyOf(workspace, root);
      for (;;) {
        const found = await records.get<Lease>(LEASES, key);
        // A lease that changed hands meanwhile is not ours to release.
        if (found?.data.runId !== runId || (await records.remove(LEASES, key, found.version))) return;
      }
    },
    holder,
    behind,
    watch: (workspace, root, onChange) => records.watch(LEASES, keyOf(workspace, root), onChange),
  };
}
