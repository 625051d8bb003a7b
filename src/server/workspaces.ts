/** The folders in which the local executor's runs work: `workspaces/<key>/<root>/` in the data folder, kept by the job. */
import { readdirSync, rmSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import type { Run } from "../core/run.ts";
import { loadRestoreIndex } from "../snapshot/restore-index.ts";
import type { WorkspaceRoot } from "../state/leases.ts";
import type { RunStore } from "../state/runs.ts";

/** Where a relative warehouse file of the profile lies; null where the profile names none, or an absolute path. */
export function warehousePath(dataDir: string, run: Run): string | null {
  const file = run.warehouseFile;
  if (file === null || isAbsolute(file) || file.startsWith("~") || file.includes("{{")) return null;
  // Whoever uses a warehouse file works in the first root.
  return join(dataDir, "workspaces", run.workspace, "1", "tree", run.projectDir, file);
}

/** Empties the folder of profiles and keys, as the job does at its end; for one that was cut off. */
export function clearRoot(dataDir: string, run: Pick<Run, "workspace">, root: WorkspaceRoot): void {
  const profiles = join(dataDir, "workspaces", run.workspace, String(root), "profiles");
  for (const name of namesIn(profiles)) rmSync(join(profiles, name), { recursive: true, force: true });
}

export interface SweepParams {
  readonly dataDir: string;
  readonly runs: RunStore;
  readonly nowMs: number;
  readonly dryRun: boolean;
}

/** A workspace that nobody has used for this long is made anew from a snapshot when it is needed. */
const UNUSED_MS = 14 * 24 * 60 * 60 * 1000;

/** Removes workspaces that were not used for days and hold nothing that only a run could make again. Their keys. */
export async function sweepWorkspaces({ dataDir, runs, nowMs, dryRun }: SweepParams): Promise<string[]> {
  const folder = join(dataDir, "workspaces");
  const removed: string[] = [];
  for (const key of namesIn(folder)) {
    const [latest] = await runs.list({ workspace: key, limit: 1 });
    const lastMs =
      latest === undefined ? modifiedMs(join(folder, key)) : Date.parse(latest.finishedAt ?? latest.createdAt);
    const active = await runs.list({ workspace: key, statuses: ["pending", "running"], limit: 1 });
    if (nowMs - lastMs < UNUSED_MS || active.length > 0 || holdsRunFiles(join(folder, key))) continue;
    if (!dryRun) rmSync(join(folder, key), { recursive: true, force: true });
    removed.push(key);
  }
  return removed;
}

/** Folders whose content dbt makes anew each time. */
const MADE_ANEW: ReadonlySet<string> = new Set(["target", "logs", "dbt_packages", "__pycache__", ".user.yml"]);

/** Whether there is a file, such as a database, that neither a snapshot nor dbt's own habits account for. */
function holdsRunFiles(workspace: string): boolean {
  return namesIn(workspace).some((root) => {
    const base = join(workspace, root);
    const restored = loadRestoreIndex(join(base, "tree.json")).files;
    return (
      hasFile(join(base, "tree"), "", (path) => !restored.has(path)) ||
      hasFile(join(base, "outside"), "", (path) => !/\.(json|log|msgpack|html|sql|ya?ml|csv|txt|gpickle)$/.test(path))
    );
  });
}

function hasFile(folder: string, prefix: string, counts: (path: string) => boolean): boolean {
  for (const entry of entriesIn(folder)) {
    if (MADE_ANEW.has(entry.name)) continue;
    const path = `${prefix}${entry.name}`;
    if (entry.isDirectory() ? hasFile(join(folder, entry.name), `${path}/`, counts) : counts(path)) return true;
  }
  return false;
}

function entriesIn(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

function namesIn(folder: string): string[] {
  return entriesIn(folder).map(({ name }) => name);
}

function modifiedMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
