/** State on Google Cloud: records in Firestore, everything that is large or immutable in one Cloud Storage bucket. */
import type { FirestoreClient } from "../../gcp/firestore.ts";
import type { Storage } from "../../gcp/storage.ts";
import type { State } from "../port.ts";
import { createBlobs } from "./blobs.ts";
import { createContents } from "./contents.ts";
import { createEnvelopes } from "./envelopes.ts";
import { createLogs } from "./logs.ts";
import { createRecords } from "./records.ts";

export interface GcpStateParams {
  /** The State's own from now on: it closes them. */
  readonly firestore: FirestoreClient;
  readonly storage: Storage;
  /** Customer-managed key for envelopes: `projects/P/locations/L/keyRings/R/cryptoKeys/K`. */
  readonly kmsKeyName?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Any number of processes may have the same State open; none of them holds anything that another needs. */
export function openGcpState({ firestore, storage, kmsKeyName, now }: GcpStateParams): State {
  const records = createRecords(firestore);
  let closing: Promise<void> | undefined;
  return {
    records,
    blobs: createBlobs(storage, now),
    contents: createContents(storage, now),
    logs: createLogs(storage, records, now),
    envelopes: createEnvelopes(storage, kmsKeyName),
    async close() {
      closing ??= records.close().then(() => firestore.close());
      await closing;
    },
  };
}
