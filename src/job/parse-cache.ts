/**
 * dbt's parse state for a job whose folders are new: put in place before dbt starts, and kept when dbt has made another.
 * Files that did not change get the mtime that they had, by which dbt knows a YAML file that it need not read again.
 */
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import type { SnapshotEntry } from "../snapshot/entry.ts";
import type { ParseStateKey, ParseStateStore } from "../state/parse-states.ts";
import { holdsSecret } from "./clean-secrets.ts";
import { PARSE_STATE } from "./places.ts";

export interface ParseCacheParams {
  readonly store: ParseStateStore;
  readonly key: Promise<ParseStateKey>;
  /** Key of the workspace. */
  readonly workspace: string;
  readonly secrets: readonly string[];
}

export interface ParseCachePlace {
  /** The snapshot's root. */
  readonly tree: string;
  readonly entries: readonly SnapshotEntry[];
  readonly targetDir: string;
}

export interface ParseCache {
  /** To be called once, when the files are in place; a parse state that is there already stays. */
  place(place: ParseCachePlace): Promise<void>;
  /** To be called when dbt has ended well. */
  keep(place: ParseCachePlace): Promise<void>;
}

/** Path in the snapshot, content, and mtime in ms. */
type FileRow = readonly [path: string, sha256: string, mtimeMs: number];

const MAX_BYTES = 256 * 1024 * 1024;
const LEVEL = 1;

/** Begins to fetch at once: that goes on beside the restoring of files. */
export function createParseCache({ store, key, workspace, secrets }: ParseCacheParams): ParseCache {
  const found = key.then((known) => store.find(workspace, known));
  // Without it, dbt parses everything: no reason to fail.
  found.catch(() => undefined);
  let placed: string | undefined;

  return {
    async place({ tree, entries, targetDir }) {
      const file = join(targetDir, PARSE_STATE);
      if (existsSync(file)) return;
      const content = await found.catch(() => undefined);
      const unpacked = content === undefined ? undefined : await unpack(content).catch(() => undefined);
      if (unpacked === undefined) return;
      mkdirSync(targetDir, { recursive: true });
      writeFileSync(file, unpacked.parseState);
      placed = markOf(file);
      const known = new Map(unpacked.files.map((row) => [row[0], row]));
      for (const { path, sha256 } of entries) {
        const row = known.get(path);
        if (row?.[1] === sha256) utimesSync(join(tree, path), row[2] / 1000, row[2] / 1000);
      }
    },
    async keep({ tree, entries, targetDir }) {
      const file = join(targetDir, PARSE_STATE);
      const mark = markOf(file);
      if (mark === undefined || mark === placed || statSync(file).size > MAX_BYTES) return;
      const parseState = readFileSync(file);
      if (holdsSecret(parseState, secrets)) return;
      const files = entries.filter(isYaml).flatMap(({ path, sha256 }): FileRow[] => {
        const stats = statSync(join(tree, path), { throwIfNoEntry: false });
        return stats === undefined ? [] : [[path, sha256, Math.round(stats.mtimeMs)]];
      });
      await store.keep(workspace, await key, await pack(parseState, files));
    },
  };
}

const isYaml = ({ path, mode }: SnapshotEntry): boolean => mode !== "120000" && /\.ya?ml$/.test(path);

/** Tells a file from what it was before; undefined where there is none worth keeping. */
function markOf(file: string): string | undefined {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats === undefined || stats.size === 0 ? undefined : `${stats.size} ${stats.mtimeMs} ${stats.ino}`;
}

async function pack(parseState: Buffer, files: readonly FileRow[]): Promise<Buffer> {
  const rows = Buffer.from(JSON.stringify(files));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(rows.length);
  return promisify<Buffer, object, Buffer>(gzip)(Buffer.concat([length, rows, parseState]), { level: LEVEL });
}

async function unpack(content: Buffer): Promise<{ parseState: Buffer; files: readonly FileRow[] }> {
  const bytes = await promisify<Buffer, object, Buffer>(gunzip)(content, { maxOutputLength: 2 * MAX_BYTES });
  const end = 4 + bytes.readUInt32LE(0);
  return { parseState: bytes.subarray(end), files: JSON.parse(bytes.toString("utf8", 4, end)) as FileRow[] };
}
