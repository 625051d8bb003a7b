/** Local files that dbt reads beside the project: artifacts of earlier runs. */
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import type { DbtArgv } from "../core/dbt-argv.ts";
import { isInside } from "../core/placeholders.ts";
import type { RunInput } from "../core/run.ts";
import { hashFile } from "../snapshot/hash.ts";
import type { WirePaths } from "./wire-paths.ts";

/** A file to be sent as a content of its own and put in place by the job. */
export interface LocalInput extends RunInput {
  readonly absolute: string;
}

/** What dbt reads in a `--state` folder: nodes, `result:` and `source_status:`. */
const STATE_FILES = ["manifest.json", "run_results.json", "sources.json"];

function sizeOf(file: string): number | undefined {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats?.isFile() ? stats.size : undefined;
}

async function inputs(folder: string, names: readonly string[], paths: WirePaths): Promise<LocalInput[]> {
  const found: LocalInput[] = [];
  const wire = paths.folder(folder);
  for (const name of names) {
    const absolute = path.join(folder, name);
    const size = sizeOf(absolute);
    if (size === undefined) continue;
    const hashed = await hashFile(absolute, size);
    found.push({ path: wire === "." ? name : `${wire}/${name}`, sha256: hashed.sha256, size: hashed.size, absolute });
  }
  return found;
}

/** The `--state` folder of the run that is to be retried, where it lies in the project. */
function formerState(results: string, projectDir: string): string | undefined {
  try {
    const { args } = JSON.parse(readFileSync(results, "utf8")) as { args?: { state?: unknown } };
    const state = args?.state;
    return typeof state === "string" && isInside(state) && !state.startsWith("@")
      ? path.join(projectDir, state)
      : undefined;
  } catch {
    return undefined;
  }
}

export interface InputOptions {
  readonly projectDir: string;
  readonly targetDir: string;
  /** Local `--state` and `--defer-state` folders. */
  readonly stateFolders: readonly string[];
  readonly paths: WirePaths;
}

/** Files to send beside the snapshot, each path once. */
export async function localInputs(dbt: DbtArgv, options: InputOptions): Promise<LocalInput[]> {
  const { projectDir, targetDir, stateFolders, paths } = options;
  const found = (await Promise.all(stateFolders.map((folder) => inputs(folder, STATE_FILES, paths)))).flat();
  if (dbt.verb === "retry") {
    const results = path.join(targetDir, "run_results.json");
    found.push(...(await inputs(targetDir, ["run_results.json"], paths)));
    const state = formerState(results, projectDir);
    if (state !== undefined && state !== targetDir) found.push(...(await inputs(state, STATE_FILES, paths)));
  }
  return [...new Map(found.map((input) => [input.path, input])).values()];
}
