/** Where on this machine the files of a run belong: known when it is posted, needed when its artifacts come back. */
import { readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { Env } from "./context.ts";
import { cacheFolder } from "./folders.ts";
import { readJsonObject, writePrivately } from "./private-files.ts";

export interface Places {
  /** Absolute, as all paths here. */
  readonly projectDir: string;
  readonly targetDir: string;
  readonly logDir: string;
  readonly packagesDir: string;
  /** Local folders by the id of their `@outside/` placeholder. */
  readonly outside: Readonly<Record<string, string>>;
  /** The project's local packages by name: dbt links to them. */
  readonly localPackages: Readonly<Record<string, string>>;
  /** Files that the command was told to write, such as `source freshness -o FILE`. */
  readonly outputs: readonly string[];
  /** What `clean` deletes. */
  readonly cleanTargets: readonly string[];
  /** What the run's workspace is known by. */
  readonly checkout: string;
  /** The run's lines are in the local dbt.log. */
  readonly logAppended?: boolean;
}

const placesPath = (env: Env, runId: string) => path.join(cacheFolder(env), "runs", `${runId}.json`);

/** Keeps a run's places for a later `attach`. A cache that can't be written costs that alone. */
export async function rememberPlaces(env: Env, runId: string, places: Places): Promise<void> {
  await writePrivately(placesPath(env, runId), JSON.stringify(places)).catch(() => undefined);
}

const KEPT_RUNS = 500;

/** Forgets the places of all but the newest runs. */
export async function prunePlaces(env: Env): Promise<void> {
  const folder = path.dirname(placesPath(env, "any"));
  try {
    const names = await readdir(folder);
    if (names.length <= KEPT_RUNS) return;
    const ages = await Promise.all(
      names.map(async (name) => ({ name, mtimeMs: (await stat(path.join(folder, name))).mtimeMs })),
    );
    ages.sort((a, b) => b.mtimeMs - a.mtimeMs);
    for (const { name } of ages.slice(KEPT_RUNS / 2)) await rm(path.join(folder, name), { force: true });
  } catch {
    // a cache: another command may be pruning it too
  }
}

/** The places of a run that this user started on this machine. */
export async function recallPlaces(env: Env, runId: string): Promise<Places | undefined> {
  if (!/^[0-9a-f-]{36}$/.test(runId)) return undefined;
  const kept = await readJsonObject(placesPath(env, runId)).catch(() => undefined);
  return typeof kept?.["projectDir"] === "string" ? (kept as unknown as Places) : undefined;
}
