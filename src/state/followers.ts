/** When somebody last followed a run, for runs that are cancelled when nobody does. */
import type { RecordStore } from "./port.ts";

export const FOLLOWERS = "followers";

export interface FollowerStore {
  /** To be called now and then for as long as somebody follows. */
  seen(runId: string): Promise<void>;
  lastSeenAtMs(runId: string): Promise<number | undefined>;
  remove(runId: string): Promise<void>;
}

interface Followers {
  readonly lastSeenAtMs: number;
}

export function createFollowerStore(records: RecordStore, now: () => number): FollowerStore {
  return {
    seen: (runId) => records.put<Followers>(FOLLOWERS, runId, { lastSeenAtMs: now() }),
    lastSeenAtMs: async (runId) => (await records.get<Followers>(FOLLOWERS, runId))?.data.lastSeenAtMs,
    async remove(runId) {
      await records.remove(FOLLOWERS, runId);
    },
  };
}
