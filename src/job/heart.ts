/** The job's signs of life: its heartbeat, and the lease of its root, which is renewed with it. */
import { readFileSync } from "node:fs";
import type { HeartbeatStore } from "../state/heartbeats.ts";
import type { Lease, LeaseStore } from "../state/leases.ts";
import { LOCAL_PACE, type Pace } from "./pace.ts";

export interface HeartParams {
  readonly runId: string;
  readonly lease: Lease;
  readonly heartbeats: HeartbeatStore;
  readonly leases: LeaseStore;
  /** The root is another run's by now: nothing in it may be touched any more. */
  readonly onLost: () => void;
  readonly pace?: Pace;
}

export interface Heart {
  /** Resolves when no beat is under way any more. */
  stop(): Promise<void>;
}

/** Beats at once and then as the pace says. */
export function startHeart({ runId, lease, heartbeats, leases, onLost, pace = LOCAL_PACE }: HeartParams): Heart {
  let renewedAtMs = Number.NEGATIVE_INFINITY;
  const self = { pid: process.pid, startTime: startTimeOf(process.pid) };
  let beating: Promise<void> | undefined;
  const beat = async (): Promise<void> => {
    try {
      await heartbeats.beat(runId, self);
      // Timers come a little early now and then.
      if (performance.now() - renewedAtMs < pace.renewEveryMs - pace.beatEveryMs / 2) return;
      const renewingAtMs = performance.now();
      if (!(await leases.renew(lease, pace.leaseTtlMs))) onLost();
      renewedAtMs = renewingAtMs;
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
  const timer = setInterval(next, pace.beatEveryMs);
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
