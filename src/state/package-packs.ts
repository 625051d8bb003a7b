/** Packages as `dbt deps` installed them, for jobs whose folders are new each time: installed once, then unpacked. */
import type { Readable } from "node:stream";
import type { State } from "./port.ts";

export const PACKAGE_PACKS = "package-packs";

/** A folder of the packages folder that is a link: to a local package, relative to the snapshot's root. */
export interface PackageLink {
  readonly name: string;
  readonly target: string;
}

export interface PackageSet {
  /** Id of the content: sets of the same content are kept once. */
  readonly id: string;
  readonly links: readonly PackageLink[];
}

export interface PackagePackRecord extends PackageSet {
  readonly usedAtMs: number;
}

export interface PackagePackStore {
  find(key: string): Promise<(PackageSet & { readonly pack: Readable }) | undefined>;
  keep(key: string, set: PackageSet, pack: Uint8Array): Promise<void>;
}

const DAY_MS = 24 * 60 * 60 * 1000;

export const packageBlobs = "packages/";
export const packageBlob = (id: string): string => `${packageBlobs}${id}.tar.gz`;

export function createPackagePackStore(
  { records, blobs }: Pick<State, "records" | "blobs">,
  now: () => number,
): PackagePackStore {
  const note = (key: string, { id, links }: PackageSet): Promise<void> =>
    records.put<PackagePackRecord>(PACKAGE_PACKS, key, { id, links, usedAtMs: now() });

  return {
    async find(key) {
      const found = await records.get<PackagePackRecord>(PACKAGE_PACKS, key);
      const pack = found === undefined ? undefined : await blobs.read(packageBlob(found.data.id));
      if (found === undefined || pack === undefined) return undefined;
      if (now() - found.data.usedAtMs > DAY_MS) await note(key, found.data);
      return { ...found.data, pack };
    },
    async keep(key, set, pack) {
      // One that is there already must not be swept just now.
      if (!(await blobs.put(packageBlob(set.id), pack))) await blobs.touch(packageBlob(set.id));
      await note(key, set);
    },
  };
}
