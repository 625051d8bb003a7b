/**
 * Tells who watches a whole collection that a record of it went: a listener to its newest record does not see that. One
 * document a collection, written at most once a second by each process.
 */
import type { FirestoreClient } from "../../gcp/firestore.ts";
import { collectionId, FIELDS } from "./documents.ts";

export interface Bells {
  ring(collection: string): void;
  /** Path of the document to listen to. */
  pathOf(collection: string): string;
  /** Resolves when what was rung for is told. */
  close(): Promise<void>;
}

const PAUSE_MS = 1_000;

export function createBells(client: FirestoreClient): Bells {
  const pathOf = (collection: string): string => `${collectionId("bells")}/${collection}`;
  const waiting = new Set<string>();
  const ringing = new Map<string, Promise<void>>();
  let isClosed = false;

  async function tell(collection: string): Promise<void> {
    while (waiting.delete(collection)) {
      const path = pathOf(collection);
      const bell = { [FIELDS.writtenAt]: client.library.FieldValue.serverTimestamp() };
      // A bell that is lost is no reason to fail what it was rung for: who watches looks now and then by itself.
      await client
        .run({ kind: "write", operation: "ring", name: path }, () => client.db.doc(path).set(bell))
        .catch(() => undefined);
      if (!isClosed) await pause();
    }
  }

  const pauses = new Set<() => void>();
  function pause(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        pauses.delete(end);
        resolve();
      };
      const timer = setTimeout(end, PAUSE_MS);
      timer.unref();
      pauses.add(end);
    });
  }

  return {
    pathOf,
    ring(collection) {
      waiting.add(collection);
      if (ringing.has(collection)) return;
      const told = tell(collection).finally(() => ringing.delete(collection));
      ringing.set(collection, told);
    },
    async close() {
      isClosed = true;
      for (const end of [...pauses]) end();
      await Promise.all(ringing.values());
    },
  };
}
