/** Contents as files named by their SHA-256. */
import { createHash } from "node:crypto";
import { renameSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { checkSha256 } from "../names.ts";
import type { BlobInfo, ContentStore } from "../port.ts";
import { atEdge } from "./errors.ts";
import { isAbsent, namesIn, readFile, removeFile, statFile, touchFile } from "./files.ts";
import { makeFolder, type Stager, syncFolder } from "./stager.ts";
import { corruptContent, createUploads } from "./uploads.ts";

export interface ContentFolders {
  readonly contents: string;
  readonly uploads: string;
  /** Of staged files; those that a crash left are swept with the uploads. */
  readonly staged: string;
}

export function createContents(folders: ContentFolders, stager: Stager, now: () => number): ContentStore {
  const { contents: folder } = folders;
  const folderOf = (sha256: string): string => join(folder, checkSha256(sha256).slice(0, 2));
  const pathOf = (sha256: string): string => join(folderOf(sha256), sha256);
  const edge = <T>(doing: string, action: () => T | Promise<T>): Promise<T> => atEdge(doing, folder, action);
  /** Folders with names that a power cut could still undo. */
  const unsynced = new Set<string>();

  const isThere = (sha256: string): boolean => statSync(pathOf(sha256), { throwIfNoEntry: false }) !== undefined;

  function place(sha256: string, staged: string): void {
    makeFolder(folderOf(sha256));
    renameSync(staged, pathOf(sha256));
    unsynced.add(folderOf(sha256));
  }

  function syncNames(): void {
    for (const changed of unsynced) syncFolder(changed);
    unsynced.clear();
  }

  const put: ContentStore["put"] = (sha256, content) =>
    edge("storing a content", async () => {
      const path = pathOf(sha256);
      const hash = createHash("sha256");
      const staged = await stager.stage(content, (chunk) => hash.update(chunk));
      const found = hash.digest("hex");
      if (found !== sha256) {
        await removeFile(staged);
        throw corruptContent(sha256, found);
      }
      if (!isThere(sha256)) return place(sha256, staged);
      await removeFile(staged);
      await touchFile(path, now());
    });

  const remove: ContentStore["remove"] = (sha256, ifUnusedSinceMs) =>
    edge("removing a content", () => removeFile(pathOf(sha256), ifUnusedSinceMs));

  const uploads = createUploads({ folder: folders.uploads, staged: folders.staged, place, now });

  return {
    missing: (hashes) =>
      edge("looking for contents", () => {
        // A snapshot is taken for complete on this answer, so what was put before has to be there for good.
        syncNames();
        return [...new Set(hashes)].filter((sha256) => !isThere(sha256));
      }),
    put,
    async putMany(files) {
      let count = 0;
      for await (const { sha256, content } of files) {
        await put(sha256, content);
        count += 1;
      }
      return count;
    },
    read: (sha256) => edge("reading a content", () => readFile(pathOf(sha256))),
    localPath: (sha256) => (isThere(sha256) ? pathOf(sha256) : undefined),
    touch: (hashes) =>
      edge("touching contents", () => {
        // Synchronous calls: thousands take 20 ms, against half a second through the thread pool.
        for (const sha256 of hashes) touchNow(pathOf(sha256), now() / 1000);
      }),
    list: (options = {}) => edge("listing contents", () => list(folder, options)),
    remove,
    async removeMany(hashes, ifUnusedSinceMs) {
      const removed: string[] = [];
      for (const sha256 of hashes) if (await remove(sha256, ifUnusedSinceMs)) removed.push(sha256);
      return removed;
    },
    uploadedBytes: (sha256) => edge("looking at an upload", () => uploads.size(sha256)),
    appendUpload: (sha256, offset, content) => edge("storing an upload", () => uploads.append(sha256, offset, content)),
    finishUpload: (sha256) => edge("storing an upload", () => uploads.finish(sha256)),
    expireUploads: (unusedSinceMs) => edge("sweeping uploads", () => uploads.expire(unusedSinceMs)),
  };
}

async function list(folder: string, options: { after?: string; limit?: number }): Promise<BlobInfo[]> {
  const { after = "", limit = Number.POSITIVE_INFINITY } = options;
  const found: BlobInfo[] = [];
  for (const shard of await namesIn(folder)) {
    if (shard < after.slice(0, 2)) continue;
    for (const name of await namesIn(join(folder, shard))) {
      if (found.length >= limit) return found;
      if (name <= after) continue;
      const stats = await statFile(join(folder, shard, name));
      if (stats !== undefined) found.push({ name, size: stats.size, modifiedAtMs: stats.mtimeMs });
    }
  }
  return found;
}

function touchNow(path: string, seconds: number): void {
  try {
    utimesSync(path, seconds, seconds);
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
}
