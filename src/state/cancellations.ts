/** Requests to cancel: the server writes them, the job obeys. The first one counts. */
import type { RecordStore, Unsubscribe } from "./port.ts";

export const CANCELLATIONS = "cancellations";

export interface Cancellation {
  /** ISO 8601. */
  readonly at: string;
  /** Label of who asked. */
  readonly by: string;
  readonly reason: string | null;
}

export interface CancellationStore {
  /** The cancellation that counts: this one, or an earlier one. */
  request(runId: string, by: string, reason: string | null): Promise<Cancellation>;
  get(runId: string): Promise<Cancellation | undefined>;
  watch(runId: string, onChange: () => void): Unsubscribe;
  remove(runId: string): Promise<void>;
}

export function createCancellationStore(records: RecordStore, now: () => number): CancellationStore {
  const get = async (runId: string) => (await records.get<Cancellation>(CANCELLATIONS, runId))?.data;
  return {
    async request(runId, by, reason) {
      const wanted: Cancellation = { at: new Date(now()).toISOString(), by, reason };
      if ((await records.create(CANCELLATIONS, runId, wanted)) !== undefined) return wanted;
      return (await get(runId)) ?? wanted;
    },
    get,
    watch: (runId, onChange) => records.watch(CANCELLATIONS, runId, onChange),
    async remove(runId) {
      await records.remove(CANCELLATIONS, runId);
    },
  };
}
