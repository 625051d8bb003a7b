/** Blobs as objects below `blobs/`. */
import type { Storage, StoredObject } from "../../gcp/storage.ts";
import { checkBlobName } from "../names.ts";
import type { BlobInfo, BlobStore } from "../port.ts";

const PREFIX = "blobs/";
/** One object takes about one change a second. */
const TOUCH_AGAIN_MS = 1_000;
/** Time to begin a download; one that has begun goes on. */
const DOWNLOAD_MS = 10 * 60_000;

export function createBlobs(storage: Storage, now: () => number): BlobStore {
  const objectOf = (name: string): string => PREFIX + checkBlobName(name);
  const infoOf = ({ name, size, modifiedAtMs }: StoredObject): BlobInfo => ({
    ...{ name: name.slice(PREFIX.length), size, modifiedAtMs },
  });

  return {
    put: async (name, content) => (await storage.put(objectOf(name), content, { onlyNew: true })) !== undefined,
    read: async (name, range) => storage.stream(objectOf(name), range),
    async stat(name) {
      const found = await storage.stat(objectOf(name));
      return found === undefined ? undefined : infoOf(found);
    },
    async touch(name) {
      const object = objectOf(name);
      const found = await storage.stat(object);
      if (found === undefined) return false;
      if (now() - found.modifiedAtMs < TOUCH_AGAIN_MS) return true;
      return (await storage.touch(object, now())) !== undefined;
    },
    async remove(name, ifUnusedSinceMs) {
      const object = objectOf(name);
      if (ifUnusedSinceMs === undefined) return storage.remove(object);
      const found = await storage.stat(object);
      if (found === undefined || found.modifiedAtMs >= ifUnusedSinceMs) return false;
      // One that is touched right now has another metageneration, and stays.
      return storage.remove(object, { metageneration: found.metageneration });
    },
    async list(prefix, { after, limit } = {}) {
      const found = await storage.list({
        prefix: PREFIX + prefix,
        ...(after !== undefined && { startOffset: PREFIX + after }),
        // One more, for the list begins with `after` itself.
        ...(limit !== undefined && { limit: limit + 1 }),
      });
      const behind = found.filter(({ name }) => after === undefined || name !== PREFIX + after).map(infoOf);
      return limit === undefined ? behind : behind.slice(0, limit);
    },
    downloadUrl: (name, fileName) => storage.downloadUrl(objectOf(name), { lifetimeMs: DOWNLOAD_MS, fileName }),
  };
}
