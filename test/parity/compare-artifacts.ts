/** Compares two `target/` folders as JSON, less the written list of keys that differ between any two runs of dbt. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { maskText, type Places } from "./mask.ts";

/** Files that hold pickled or packed state of dbt itself, or that only the executing side keeps. */
const NOT_COMPARED: ReadonlySet<string> = new Set(["partial_parse.msgpack", "graph.gpickle", "perf_info.json"]);

/** Holds manifest and catalog, which are compared by themselves, with all their times and ids in one line. */
const COMPARED_BY_NAME: ReadonlySet<string> = new Set(["static_index.html"]);

/** Keys that differ between two runs of the same command by local dbt: times, ids, threads, paths of the machine. */
export const VOLATILE_KEYS: ReadonlySet<string> = new Set([
  "generated_at",
  "invocation_id",
  "invocation_started_at",
  "user_id",
  "created_at",
  "started_at",
  "completed_at",
  "execution_time",
  "elapsed_time",
  "thread_id",
  "root_path",
  "project_dir",
  "profiles_dir",
  "log_path",
  "snapshotted_at",
  "max_loaded_at_time_ago_in_s",
  "source_name_hash",
  // says which state folder or log options were in force, as absolute paths
  "invocation_command",
]);

/** All files below a folder, as sorted relative paths; empty where there is no folder. */
export function filesBelow(folder: string): string[] {
  let entries: string[];
  try {
    entries = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  } catch {
    return [];
  }
  return entries.filter((path) => !NOT_COMPARED.has(path)).sort();
}

function normalised(text: string, path: string, places: Places): unknown {
  if (!path.endsWith(".json")) return maskText(text, places);
  const value: unknown = JSON.parse(text);
  return JSON.parse(maskText(JSON.stringify(strip(BY_NAME[path]?.(value) ?? value)), places));
}

/** Files in which dbt promises no order, and what puts them into one. */
const BY_NAME: Readonly<Record<string, (content: unknown) => unknown>> = {
  "graph_summary.json": summaryByName,
  "run_results.json": resultsByName,
};

/** The results of a run stand in the order in which its nodes ended. */
function resultsByName(content: unknown): unknown {
  const run = content as { readonly results: readonly { readonly unique_id: string }[] };
  return { ...run, results: run.results.toSorted((a, b) => (a.unique_id < b.unique_id ? -1 : 1)) };
}

/** dbt numbers the nodes of its graph as it met them while parsing, which a partial parse does in another order. */
function summaryByName(summary: unknown): unknown {
  type Numbered = Readonly<Record<string, { readonly name: string; readonly succ?: readonly number[] }>>;
  return Object.fromEntries(
    Object.entries(summary as Readonly<Record<string, unknown>>).map(([key, value]) => {
      if (key !== "linked" && key !== "with_test_edges") return [key, value];
      const nodes = value as Numbered;
      const named = Object.values(nodes).map((node) => [
        node.name,
        { ...node, succ: (node.succ ?? []).map((index) => nodes[index]?.name).sort() },
      ]);
      return [key, Object.fromEntries(named)];
    }),
  );
}

function strip(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(strip);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !VOLATILE_KEYS.has(key))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, strip(inner)]),
  );
}

export interface ComparableFolder {
  readonly files: readonly string[];
  readonly contents: Readonly<Record<string, unknown>>;
}

/** What two equal runs must have in common of a folder. `plain` puts the side's own paths in place of a workspace's. */
export function comparable(folder: string, places: Places, plain: (text: string) => string): ComparableFolder {
  const files = filesBelow(folder);
  const contents: Record<string, unknown> = {};
  for (const path of files.filter((file) => !COMPARED_BY_NAME.has(file))) {
    contents[path] = normalised(plain(readFileSync(join(folder, path), "utf8")), path, places);
  }
  return { files, contents };
}
