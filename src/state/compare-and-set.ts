/** The loop of every change to a record that has more than one writer. */
import type { RecordStore, StoredRecord } from "./port.ts";

const MAX_ATTEMPTS = 100;
const MAX_PAUSE_MS = 50;

/**
 * Reads, changes and writes back until nobody came in between. `change` returns the same object to leave it as it is.
 * Undefined where there is no such record.
 */
export async function update<T extends object>(
  records: RecordStore,
  collection: string,
  key: string,
  change: (data: T) => T,
): Promise<T | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    const found: StoredRecord<T> | undefined = await records.get<T>(collection, key);
    if (found === undefined) return undefined;
    const next = change(found.data);
    if (next === found.data) return next;
    if ((await records.replace(collection, key, next, found.version)) !== undefined) return next;
    if (attempt === MAX_ATTEMPTS) throw new Error(`${collection}/${key} changed ${attempt} times while it was updated`);
    await new Promise((resume) => setTimeout(resume, Math.random() * Math.min(attempt, MAX_PAUSE_MS)));
  }
}
