/** Packages for a job whose folders are new: unpacked as an earlier `dbt deps` installed them for the same lists. */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { type SnapshotEntry, snapshotId } from "../snapshot/entry.ts";
import { type PackInput, packStream } from "../snapshot/pack.ts";
import { readPack } from "../snapshot/read-pack.ts";
import type { PackageLink, PackagePackStore } from "../state/package-packs.ts";
import { readAll } from "../state/read-all.ts";
import { holdsSecret } from "./clean-secrets.ts";

export interface PackageCacheParams {
  readonly store: PackagePackStore;
  /** Of the lists of packages, and of all else that decides what is installed for them. */
  readonly key: () => Promise<string>;
  /** The snapshot's root; local packages lie in it. */
  readonly tree: string;
  readonly packagesDir: string;
  readonly secrets: readonly string[];
}

export interface PackageCache {
  /** True where the packages folder now holds what was installed for these lists before. */
  restore(): Promise<boolean>;
  /** To be called when `dbt deps` has installed them. */
  keep(): Promise<void>;
}

const LIMITS = { maxEntries: 20_000, maxBytes: 256 * 1024 * 1024, maxEntryBytes: 32 * 1024 * 1024 };
/** What a tar tells of times. */
const MTIME_MS = 1000;

/** Whatever fails here, `dbt deps` is still there. */
export function createPackageCache(params: PackageCacheParams): PackageCache {
  const { store, tree, packagesDir } = params;
  // As it is before `dbt deps`, which may write a list of its own.
  let asked: Promise<string> | undefined;
  const key = (): Promise<string> => {
    asked ??= params.key();
    return asked;
  };
  return {
    async restore() {
      try {
        const found = await store.find(await key());
        if (found === undefined) return false;
        rmSync(packagesDir, { recursive: true, force: true });
        mkdirSync(packagesDir, { recursive: true });
        for await (const item of readPack(found.pack, LIMITS)) {
          const path = join(packagesDir, item.path);
          mkdirSync(dirname(path), { recursive: true });
          if (item.link === undefined) writeFileSync(path, await item.bytes(), { mode: modeOf(item.mode) });
          else symlinkSync(item.link, path);
          if (item.link === undefined) utimesSync(path, item.mtimeMs / 1000, item.mtimeMs / 1000);
        }
        for (const { name, target } of found.links.filter((link) => !link.target.startsWith("..")))
          symlinkSync(join(tree, target), join(packagesDir, name));
        return true;
      } catch {
        rmSync(packagesDir, { recursive: true, force: true });
        return false;
      }
    },
    async keep() {
      try {
        const installed = collect(params);
        if (installed === undefined) return;
        const { stream, index } = packStream(installed.inputs);
        const pack = await readAll(stream);
        await store.keep(await key(), { id: snapshotId(index), links: installed.links }, pack);
      } catch {
        // The next run installs them again.
      }
    },
  };
}

const modeOf = (mode: SnapshotEntry["mode"]): number => (mode === "100755" ? 0o755 : 0o644);

interface Installed {
  readonly inputs: readonly PackInput[];
  readonly links: readonly PackageLink[];
}

/** Undefined where it is too much to keep, leads elsewhere, or holds a secret. */
function collect({ tree, packagesDir, secrets }: PackageCacheParams): Installed | undefined {
  const inputs: PackInput[] = [];
  const links: PackageLink[] = [];
  let bytes = 0;
  const visit = (folder: string): boolean =>
    readdirSync(folder).every((name) => {
      const file = join(folder, name);
      const stats = lstatSync(file);
      if (stats.isDirectory()) return visit(file);
      const path = relative(packagesDir, file);
      if (stats.isSymbolicLink()) {
        const text = readlinkSync(file);
        if (folder !== packagesDir) {
          inputs.push({ path, mode: "120000", size: Buffer.byteLength(text), content: Buffer.from(text) });
          return true;
        }
        const target = relative(tree, resolve(folder, text));
        links.push({ name, target });
        return target !== "" && !target.startsWith("..");
      }
      bytes += stats.size;
      const isTooMuch = inputs.length >= LIMITS.maxEntries || bytes > LIMITS.maxBytes;
      if (!stats.isFile() || isTooMuch || stats.size > LIMITS.maxEntryBytes) return false;
      const content = readFileSync(file);
      if (holdsSecret(content, secrets)) return false;
      // As it will be when it is unpacked: a parse state that is made now is then good for it.
      const mtimeMs = Math.floor(stats.mtimeMs / MTIME_MS) * MTIME_MS;
      utimesSync(file, mtimeMs / 1000, mtimeMs / 1000);
      const mode = (stats.mode & 0o100) === 0 ? "100644" : "100755";
      inputs.push({ path, mode, size: content.length, mtimeMs, content });
      return true;
    });
  return visit(packagesDir) ? { inputs, links } : undefined;
}
