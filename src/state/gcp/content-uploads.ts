/** Unfinished uploads of large contents: each part an object, named by its offset, so that any instance can go on. */
import { createHash } from "node:crypto";
import { AppError } from "../../core/errors.ts";
import type { Storage, StoredObject } from "../../gcp/storage.ts";
import { checkSha256 } from "../names.ts";
import { inParallel } from "./in-parallel.ts";
import { JOINS_PREFIX, joinObjects } from "./join-objects.ts";

export interface Uploads {
  size(sha256: string): Promise<number>;
  append(sha256: string, offset: number, content: Uint8Array): Promise<number>;
  /** Verifies the bytes and makes them one object of this name. */
  finish(sha256: string, name: string, metadata: Record<string, string>): Promise<StoredObject>;
  discard(sha256: string): Promise<void>;
  expire(unusedSinceMs: number): Promise<number>;
}

const PREFIX = "uploads/";
const OFFSET_DIGITS = 15;
const AT_ONCE = 8;

/** The error of bytes that are not what they were said to be. */
export function corruptContent(sha256: string, found: string): AppError {
  return new AppError("blob_corrupt", `Content ${sha256} arrived with another hash, ${found}.`, {
    hint: "The file changed or was damaged on its way; send it again.",
  });
}

export function createUploads(storage: Storage): Uploads {
  const folderOf = (sha256: string): string => `${PREFIX}${checkSha256(sha256)}/`;
  const partName = (sha256: string, offset: number): string =>
    folderOf(sha256) + String(offset).padStart(OFFSET_DIGITS, "0");

  /** The parts in order, as far as they join. */
  async function partsOf(sha256: string): Promise<{ parts: StoredObject[]; end: number }> {
    const parts: StoredObject[] = [];
    let end = 0;
    for (const part of await storage.list({ prefix: folderOf(sha256) })) {
      if (part.name !== partName(sha256, end)) break;
      parts.push(part);
      end += part.size;
    }
    return { parts, end };
  }

  function goesOnAt(sha256: string, end: number, offset: number): AppError {
    return new AppError("upload_offset", `The upload of ${sha256} goes on at ${end}, not at ${offset}.`, {
      details: { offset: end },
    });
  }

  async function discard(sha256: string): Promise<void> {
    const parts = await storage.list({ prefix: folderOf(sha256) });
    // The first part last: without it, an upload that was half discarded is none.
    await inParallel(parts.slice(1), AT_ONCE, ({ name }) => storage.remove(name));
    for (const { name } of parts.slice(0, 1)) await storage.remove(name);
  }

  return {
    size: async (sha256) => (await partsOf(sha256)).end,
    async append(sha256, offset, content) {
      const { end } = await partsOf(sha256);
      if (offset !== end) throw goesOnAt(sha256, end, offset);
      if (content.byteLength === 0) return end;
      const put = await storage.put(partName(sha256, offset), content, { onlyNew: true });
      // Another sender was faster.
      if (put === undefined) throw goesOnAt(sha256, (await partsOf(sha256)).end, offset);
      return end + content.byteLength;
    },
    async finish(sha256, name, metadata) {
      const { parts } = await partsOf(sha256);
      if (parts.length === 0) {
        throw new AppError("upload_offset", `There is no upload of ${sha256}.`, { details: { offset: 0 } });
      }
      const hash = createHash("sha256");
      for (const part of parts) {
        const content = await storage.stream(part.name);
        if (content === undefined) throw goesOnAt(sha256, 0, 0);
        for await (const chunk of content as AsyncIterable<Uint8Array>) hash.update(chunk);
      }
      const found = hash.digest("hex");
      if (found !== sha256) {
        await discard(sha256);
        throw corruptContent(sha256, found);
      }
      const names = parts.map((part) => part.name);
      return joinObjects(storage, { name, sources: names, metadata });
    },
    discard,
    async expire(unusedSinceMs) {
      const lastUsedMs = new Map<string, number>();
      for (const { name, modifiedAtMs } of await storage.list({ prefix: PREFIX })) {
        const sha256 = name.slice(PREFIX.length).split("/")[0] ?? "";
        lastUsedMs.set(sha256, Math.max(lastUsedMs.get(sha256) ?? 0, modifiedAtMs));
      }
      const forgotten = [...lastUsedMs].filter(([, usedMs]) => usedMs < unusedSinceMs).map(([sha256]) => sha256);
      for (const sha256 of forgotten) await discard(sha256);
      // What a crash left half-joined.
      const joins = await storage.list({ prefix: JOINS_PREFIX });
      const old = joins.filter(({ modifiedAtMs }) => modifiedAtMs < unusedSinceMs);
      await inParallel(old, AT_ONCE, ({ name }) => storage.remove(name));
      return forgotten.length;
    },
  };
}
