/**
 * The contents of files in Cloud Storage. Thousands of small ones that arrive together become a few objects, a large one
 * is an object by itself; each process knows which object holds what (content-index.ts).
 */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { Storage, StoredObject } from "../../gcp/storage.ts";
import { checkSha256 } from "../names.ts";
import type { BlobInfo, ContentStore, IncomingContent } from "../port.ts";
import { createByteCache } from "./byte-cache.ts";
import {
  type ContentObject,
  contentObject,
  createContentIndex,
  fileMetadata,
  newContentName,
} from "./content-index.ts";
import { contentOf, createPackBuilder, type PackBuilder } from "./content-pack.ts";
import { removeContents } from "./content-removal.ts";
import { corruptContent, createUploads } from "./content-uploads.ts";
import { inParallel } from "./in-parallel.ts";

/** Larger contents are objects by themselves. */
const SMALL_BYTES = 1024 * 1024;
const PACK_BYTES = 8 * 1024 * 1024;
const CACHE_BYTES = 48 * 1024 * 1024;
/** A pack is not touched again before this time has passed: most snapshots need most packs. */
const TOUCH_PACK_MS = 60 * 60_000;
/** One object takes about one change a second. */
const TOUCH_FILE_MS = 1_000;
const AT_ONCE = 8;

export function createContents(storage: Storage, now: () => number): ContentStore {
  const index = createContentIndex(storage, now);
  const uploads = createUploads(storage);
  const cache = createByteCache(CACHE_BYTES);

  async function touchObject(object: ContentObject): Promise<void> {
    const since = object.isPack ? TOUCH_PACK_MS : TOUCH_FILE_MS;
    if (now() - object.modifiedAtMs < since) return;
    const touched = await storage.touch(object.name, now());
    if (touched === undefined) index.drop(object.name);
    else index.add({ ...object, modifiedAtMs: touched.modifiedAtMs });
  }

  async function touch(hashes: Iterable<string>): Promise<void> {
    // What this process has not heard of since then is younger than that, and needs no touch.
    await index.refresh(TOUCH_PACK_MS);
    const objects = new Map<string, ContentObject>();
    for (const sha256 of hashes) {
      const [holder] = index.holders(checkSha256(sha256));
      if (holder !== undefined) objects.set(holder.name, holder);
    }
    await inParallel(objects.values(), AT_ONCE, touchObject);
  }

  async function storePack(pack: PackBuilder): Promise<void> {
    if (pack.count === 0) return;
    const { bytes, members, metadata } = pack.take();
    const stored = await storage.put(newContentName(now()), bytes, { metadata });
    if (stored !== undefined) index.add(contentObject(stored, members, true));
  }

  async function storeFile(sha256: string, content: Uint8Array | Readable): Promise<void> {
    const metadata = fileMetadata(sha256);
    const stored = await storage.put(newContentName(now()), verified(sha256, content), { metadata });
    if (stored !== undefined) addFile(sha256, stored);
  }

  function addFile(sha256: string, stored: StoredObject): void {
    const member = { sha256, offset: 0, length: stored.size, size: stored.size };
    index.add(contentObject(stored, [member], false));
  }

  /** Whether a content is there and will be for another while. */
  async function isHeld(sha256: string): Promise<boolean> {
    await touch([sha256]);
    return index.holders(sha256).length > 0;
  }

  async function put(sha256: string, content: Uint8Array | Readable): Promise<void> {
    if (!(await isHeld(sha256))) return storeFile(sha256, content);
    for await (const _ of verified(sha256, content)) {
      // Only the hash is wanted.
    }
  }

  async function openHeld(sha256: string): Promise<Readable | undefined> {
    for (const object of index.holders(sha256)) {
      const member = object.members.get(sha256);
      if (member === undefined) continue;
      const content = object.isPack
        ? await cache.get(object.name, async () => (await storage.read(object.name))?.bytes)
        : await storage.stream(object.name);
      if (content === undefined) index.drop(object.name);
      else return content instanceof Readable ? content : Readable.from([contentOf(content, member)]);
    }
    return undefined;
  }

  return {
    async missing(hashes) {
      const isUnknown = (sha256: string): boolean => index.holders(checkSha256(sha256)).length === 0;
      const unknown = [...new Set(hashes)].filter(isUnknown);
      if (unknown.length === 0) return [];
      await index.refresh();
      return unknown.filter(isUnknown);
    },
    put,
    async putMany(files: AsyncIterable<IncomingContent>) {
      const pack = createPackBuilder();
      let count = 0;
      try {
        for await (const { sha256, size, content } of files) {
          checkSha256(sha256);
          if (size > SMALL_BYTES) await put(sha256, content);
          else {
            const parts: Uint8Array[] = [];
            for await (const part of verified(sha256, content)) parts.push(part);
            if (!pack.has(sha256) && !(await isHeld(sha256))) pack.add(sha256, Buffer.concat(parts));
            if (pack.bytes >= PACK_BYTES) await storePack(pack);
          }
          count += 1;
        }
      } finally {
        await storePack(pack);
      }
      return count;
    },
    async read(sha256) {
      checkSha256(sha256);
      for (const learn of [undefined, () => index.refresh(), index.reload]) {
        await learn?.();
        const content = await openHeld(sha256);
        if (content !== undefined) return content;
      }
      return undefined;
    },
    localPath(sha256) {
      checkSha256(sha256);
      return undefined;
    },
    touch,
    async list({ after = "", limit = Number.POSITIVE_INFINITY } = {}) {
      if (after === "") await index.reload();
      const hashes = index.hashes();
      const found: BlobInfo[] = [];
      for (let at = firstBehind(hashes, after); at < hashes.length && found.length < limit; at += 1) {
        const sha256 = hashes[at] ?? "";
        const holders = index.holders(sha256);
        const modifiedAtMs = Math.max(...holders.map((each) => each.modifiedAtMs));
        found.push({ name: sha256, size: holders[0]?.members.get(sha256)?.size ?? 0, modifiedAtMs });
      }
      return found;
    },
    async remove(sha256, ifUnusedSinceMs) {
      const hashes = [checkSha256(sha256)];
      if (index.holders(sha256).length === 0) await index.refresh();
      return (await removeContents({ storage, index, now, hashes, ifUnusedSinceMs, minShare: 0 })).length > 0;
    },
    async removeMany(hashes, ifUnusedSinceMs) {
      for (const sha256 of hashes) checkSha256(sha256);
      return removeContents({ storage, index, now, hashes, ifUnusedSinceMs, minShare: 0.5 });
    },
    uploadedBytes: (sha256) => uploads.size(sha256),
    appendUpload: async (sha256, offset, content) => uploads.append(sha256, offset, content),
    async finishUpload(sha256) {
      const stored = await uploads.finish(sha256, newContentName(now()), fileMetadata(sha256));
      addFile(sha256, stored);
      await uploads.discard(sha256);
    },
    expireUploads: (unusedSinceMs) => uploads.expire(unusedSinceMs),
  };
}

/** The chunks as they come; throws at the end where they are not what they were said to be. */
async function* verified(sha256: string, content: Uint8Array | Readable): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  const chunks = content instanceof Uint8Array ? [content] : (content as AsyncIterable<Uint8Array>);
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
  const found = hash.digest("hex");
  if (found !== sha256) throw corruptContent(sha256, found);
}

/** Place of the first of the sorted names behind this one. */
function firstBehind(sorted: readonly string[], after: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? "") <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
