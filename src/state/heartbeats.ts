/** Signs of life of jobs. One writer each, so the last write wins. */
import type { RecordStore } from "./port.ts";

export const HEARTBEATS = "heartbeats";

export interface Heartbeat {
  readonly atMs: number;
  readonly pid: number;
  /** Start time of the process as the OS tells it, so that a reused pid is not mistaken for it. */
  readonly startTime: string | null;
}

export interface HeartbeatStore {
  beat(runId: string, job: Omit<Heartbeat, "atMs">): Promise<void>;
  get(runId: string): Promise<Heartbeat | undefined>;
  remove(runId: string): Promise<void>;
}

export function createHeartbeatStore(records: RecordStore, now: () => number): HeartbeatStore {
  return {
    beat: (runId, job) => records.put<Heartbeat>(HEARTBEATS, runId, { ...job, atMs: now() }),
    get: async (runId) => (await records.get<Heartbeat>(HEARTBEATS, runId))?.data,
    async remove(runId) {
      await records.remove(HEARTBEATS, runId);
    },
  };
}
