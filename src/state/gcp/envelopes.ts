/**
 * Envelopes as objects below `envelopes/`: the bucket's access rules say who may read them, Google encrypts them, with the
 * customer's key where one is named. Who deletes the object has the envelope.
 */
import { AppError } from "../../core/errors.ts";
import type { Storage } from "../../gcp/storage.ts";
import { checkKey } from "../names.ts";
import type { EnvelopeStore, JsonObject } from "../port.ts";

const PREFIX = "envelopes/";

export function createEnvelopes(storage: Storage, kmsKeyName: string | undefined): EnvelopeStore {
  const objectOf = (runId: string): string => PREFIX + checkKey(runId);

  return {
    async put(runId, envelope) {
      await storage.put(objectOf(runId), Buffer.from(JSON.stringify(envelope)), { kmsKeyName });
    },
    async take(runId) {
      for (;;) {
        const found = await storage.read(objectOf(runId));
        if (found === undefined) return undefined;
        const { generation } = found;
        if (await storage.remove(objectOf(runId), { generation })) return parse(runId, found.bytes);
        // Taken by another, or put again meanwhile: the next read tells.
      }
    },
    async discard(runId) {
      await storage.remove(objectOf(runId));
    },
    async expire(putBeforeMs) {
      let expired = 0;
      for (const { name, modifiedAtMs, generation } of await storage.list({ prefix: PREFIX })) {
        if (modifiedAtMs < putBeforeMs && (await storage.remove(name, { generation }))) expired += 1;
      }
      return expired;
    },
  };
}

function parse(runId: string, bytes: Buffer): JsonObject {
  try {
    return JSON.parse(bytes.toString("utf8")) as JsonObject;
  } catch {
    // The cause is not kept: its message would quote what is in the envelope.
    throw new AppError("state_corrupt", `The envelope of run ${runId} can't be read.`, { hint: "Post the run again." });
  }
}
