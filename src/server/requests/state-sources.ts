/** `--state run:<ref>`: the artifacts of an earlier run, which the job puts in place as a folder. */
import { type DbtArgv, parseDbtArgv, pathOccurrences, rewritePaths } from "../../core/dbt-argv.ts";
import { AppError } from "../../core/errors.ts";
import { OUTSIDE } from "../../core/placeholders.ts";
import type { RunStateSource } from "../../core/run.ts";
import { latestWithManifest } from "../../state/latest-manifest.ts";
import type { Stores } from "../../state/stores.ts";
import { runReference } from "./run-paths.ts";

export interface StateSourceParams {
  readonly parsed: DbtArgv;
  readonly stores: Pick<Stores, "runs" | "artifacts">;
  readonly requesterId: string;
  readonly workspace: string;
  readonly target: string | null;
}

export interface ResolvedState {
  readonly args: readonly string[];
  readonly stateSources: readonly RunStateSource[];
}

/** Throws where there is no such run, or it wrote no manifest. */
export async function resolveStateRuns(params: StateSourceParams): Promise<ResolvedState> {
  const { parsed } = params;
  const paths = new Map<string, string>();
  const stateSources = new Map<string, RunStateSource>();
  for (const { name, path, value } of pathOccurrences(parsed)) {
    const ref = path.kind === "state" || path.kind === "defer-state" ? runReference(value) : undefined;
    if (ref === undefined || paths.has(value)) continue;
    const runId = await findRun(ref, `${name} ${value}`, params);
    const source = { path: `${OUTSIDE}run-${runId}`, runId };
    paths.set(value, source.path);
    stateSources.set(source.path, source);
  }
  if (paths.size === 0) return { args: parsed.argv, stateSources: [] };
  const args = rewritePaths(parsed, ({ path, value }) =>
    path.kind === "state" || path.kind === "defer-state" ? paths.get(value) : undefined,
  );
  return { args: parseDbtArgv(args).argv, stateSources: [...stateSources.values()] };
}

async function findRun(ref: string, option: string, params: StateSourceParams): Promise<string> {
  const { stores, requesterId, workspace, target } = params;
  const { runs, artifacts } = stores;
  if (ref === "latest") {
    const found =
      (await latestWithManifest(runs, artifacts, { target, workspace })) ??
      (await latestWithManifest(runs, artifacts, { target }));
    if (found !== undefined) return found.id;
    const which = target === null ? "" : ` of target ${target}`;
    throw new AppError("run_not_found", `${option}: no run${which} has succeeded and written a manifest yet.`, {
      hint: "Name another run (dbt-remote runs), or a local folder",
    });
  }
  const run = await runs.resolve(ref, { requesterId, workspace, all: false });
  if (((await artifacts.get(run.id))?.manifestPath ?? null) !== null) return run.id;
  throw new AppError("artifact_not_found", `${option}: run ${run.number} has written no manifest.json.`, {
    hint: `See what it has written: dbt-remote artifacts ${run.number}`,
  });
}
