/** The job's signs of life: its heartbeat, and the lease of its root, which is renewed with it. */
import { readFileSync } from "node:fs";
import type { HeartbeatStore } from "../state/heartbeats.ts";
import type { Lease, LeaseStore } from "../state/leases.ts";

const BEAT_EVERY_MS = 2_000;
/** A lease outlives several missed beats: a machine that swaps must not lose its workspace to another run. */
export const LEASE_TTL_MS = 30_000;

export interface HeartParams {
  readonly runId: string;
  readonly lease: Lease;
  readonly heartbeats: HeartbeatStore;
  readonly leases: LeaseStore;
  /** The root is another run's by now: nothing in it may be touched any more. */
  readonly onLost: () => void;
}

export interface Heart {
  /** Resolves when no beat is under way any more. */
  stop(): Promise<void>;
}

/** Beats at once and then every 2 s. */
export function startHeart({ runId, lease, heartbeats, leases, onLost }: HeartParams): Heart {
  const self = { pid: process.pid, startTime: startTimeOf(process.pid) };
  let beating: Promise<void> | undefined;
  const beat = async (): Promise<void> => {
    try {
      await heartbeats.beat(runId, self);
      if (!(await leases.renew(lease, LEASE_TTL_MS))) onLost();
    } catch {
      // State that can't be written for a moment; the next beat is soon.
    }
  };
  const next = (): void => {
    beating ??= beat().finally(() => {
      beating = undefined;
    });
  };
  next();
  const timer = setInterval(next, BEAT_EVERY_MS);
  return {
    async stop() {
      clearInterval(timer);
      await beating;
    },
  };
}

/** Ticks since boot at which the process started, as the executor knows it; null off Linux. */
function startTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The program's name, in brackets, may hold blanks and brackets; start time is the 22nd field of all.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}
