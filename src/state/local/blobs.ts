/** Blobs as files: the name is the path. */
import type { Stats } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { checkBlobName } from "../names.ts";
import type { BlobInfo, BlobStore } from "../port.ts";
import { atEdge } from "./errors.ts";
import { isAbsent, readFile, removeFile, statFile, touchFile } from "./files.ts";
import { placeOnce, type Stager } from "./stager.ts";

export function createBlobs(folder: string, stager: Stager, now: () => number): BlobStore {
  const pathOf = (name: string): string => join(folder, ...checkBlobName(name).split("/"));
  const edge = <T>(doing: string, action: () => Promise<T>): Promise<T> => atEdge(doing, folder, action);
  return {
    put: (name, content) =>
      edge("writing a blob", async () => {
        const path = pathOf(name);
        return placeOnce(await stager.stage(content), path);
      }),
    read: (name, range) => edge("reading a blob", () => readFile(pathOf(name), range)),
    stat: (name) =>
      edge("looking at a blob", async () => {
        const found = await statFile(pathOf(name));
        return found === undefined ? undefined : info(name, found);
      }),
    touch: (name) => edge("touching a blob", () => touchFile(pathOf(name), now())),
    remove: (name, ifUnusedSinceMs) => edge("removing a blob", () => removeFile(pathOf(name), ifUnusedSinceMs)),
    list: (prefix, options = {}) =>
      edge("listing blobs", async () => {
        const found: BlobInfo[] = [];
        await walk(
          folder,
          "",
          { prefix, after: options.after, limit: options.limit ?? Number.POSITIVE_INFINITY },
          found,
        );
        return found;
      }),
    downloadUrl: async () => undefined,
  };
}

const info = (name: string, found: Stats): BlobInfo => ({ name, size: found.size, modifiedAtMs: found.mtimeMs });

interface Wanted {
  readonly prefix: string;
  readonly after: string | undefined;
  readonly limit: number;
}

/** Collects in byte order of the whole names: a folder sorts as its name with a `/` behind. */
async function walk(folder: string, base: string, wanted: Wanted, found: BlobInfo[]): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (isAbsent(error)) return [];
    throw error;
  });
  const names = entries
    .map((entry) => ({ name: base + entry.name + (entry.isDirectory() ? "/" : ""), path: join(folder, entry.name) }))
    .sort((a, b) => compareBytes(a.name, b.name));
  for (const { name, path } of names) {
    if (found.length >= wanted.limit) return;
    if (name.endsWith("/")) {
      const mayHold = name.startsWith(wanted.prefix) || wanted.prefix.startsWith(name);
      const isPast =
        wanted.after !== undefined && compareBytes(name, wanted.after) < 0 && !wanted.after.startsWith(name);
      if (mayHold && !isPast) await walk(path, name, wanted, found);
      continue;
    }
    if (!name.startsWith(wanted.prefix)) continue;
    if (wanted.after !== undefined && compareBytes(name, wanted.after) <= 0) continue;
    const stats = await statFile(path);
    if (stats !== undefined) found.push(info(name, stats));
  }
}

export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
