/** Removing contents that share their objects with others: what is left of a pack becomes a new, smaller one. */
import type { Storage } from "../../gcp/storage.ts";
import { type ContentIndex, type ContentObject, contentObject, newContentName } from "./content-index.ts";
import { contentOf, createPackBuilder } from "./content-pack.ts";

export interface Removal {
  readonly storage: Storage;
  readonly index: ContentIndex;
  readonly now: () => number;
  readonly hashes: readonly string[];
  readonly ifUnusedSinceMs: number | undefined;
  /** A pack of which a smaller share would go stays as it is. */
  readonly minShare: number;
}

/** Tells which of the contents are nowhere any more. */
export async function removeContents(removal: Removal): Promise<string[]> {
  const { index, hashes } = removal;
  const doomed = new Set(hashes.filter((sha256) => index.holders(sha256).length > 0));
  const holders = new Map<string, ContentObject>();
  for (const sha256 of doomed) for (const object of index.holders(sha256)) holders.set(object.name, object);
  for (const object of holders.values()) await shrink(object, doomed, removal);
  return [...doomed].filter((sha256) => index.holders(sha256).length === 0);
}

async function shrink(object: ContentObject, doomed: ReadonlySet<string>, removal: Removal): Promise<void> {
  const { storage, index, now, ifUnusedSinceMs, minShare } = removal;
  const kept = [...object.members.values()].filter(({ sha256 }) => !doomed.has(sha256));
  const keptBytes = kept.reduce((sum, { length }) => sum + length, 0);
  if (kept.length > 0 && 1 - keptBytes / object.bytes < minShare) return;
  const found = await storage.stat(object.name);
  if (found === undefined) return index.drop(object.name);
  if (ifUnusedSinceMs !== undefined && found.modifiedAtMs >= ifUnusedSinceMs) return;
  if (kept.length > 0) {
    const whole = await storage.read(object.name);
    if (whole === undefined) return index.drop(object.name);
    const builder = createPackBuilder();
    for (const member of kept) builder.add(member.sha256, contentOf(whole.bytes, member));
    const { bytes, members, metadata } = builder.take();
    const stored = await storage.put(newContentName(now()), bytes, { metadata });
    if (stored !== undefined) index.add(contentObject(stored, members, true));
  }
  // One that is touched right now has another metageneration, and stays: some contents are then there twice.
  if (await storage.remove(object.name, { metageneration: found.metageneration })) index.drop(object.name);
}
