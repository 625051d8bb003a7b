/** `--state run:<ref>`: the artifacts of an earlier run, which the job puts in place as a folder. */
import { type DbtArgv, pathOccurrences, rewritePaths } from "../../core/dbt-argv.ts";
import { pathOfVariable } from "../../core/dbt-environment.ts";
import type { DbtPath } from "../../core/dbt-options.ts";
import { AppError } from "../../core/errors.ts";
import { OUTSIDE } from "../../core/placeholders.ts";
import type { RunStateSource } from "../../core/run.ts";
import { latestWithManifest } from "../../state/latest-manifest.ts";
import type { Stores } from "../../state/stores.ts";
import { runReference } from "./run-paths.ts";

export interface StateSourceParams {
  readonly parsed: DbtArgv;
  /** Variables that came with the request: `DBT_STATE` may name a run as well. */
  readonly env: Readonly<Record<string, string>>;
  readonly stores: Pick<Stores, "runs" | "artifacts">;
  readonly requesterId: string;
  readonly workspace: string;
  readonly target: string | null;
}

export interface ResolvedState {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stateSources: readonly RunStateSource[];
}

/** Throws where there is no such run, or it wrote no manifest. */
export async function resolveStateRuns(params: StateSourceParams): Promise<ResolvedState> {
  const { parsed, env } = params;
  const paths = new Map<string, string>();
  const stateSources = new Map<string, RunStateSource>();
  const resolve = async (option: string, value: string): Promise<string | undefined> => {
    const ref = runReference(value);
    if (ref === undefined) return undefined;
    const runId = await findRun(ref, `${option} ${value}`, params);
    const source = { path: `${OUTSIDE}run-${runId}`, runId };
    stateSources.set(source.path, source);
    return source.path;
  };
  const typed = pathOccurrences(parsed).filter(({ path }) => isState(path));
  for (const { name, value } of typed) {
    const path = paths.has(value) ? undefined : await resolve(name, value);
    if (path !== undefined) paths.set(value, path);
  }
  const resolvedEnv = { ...env };
  for (const [name, value] of Object.entries(env)) {
    const at = pathOfVariable(name);
    // A flag hides the variable.
    if (at === null || !isState(at) || typed.some(({ path }) => path.kind === at.kind)) continue;
    const path = await resolve(name, value);
    if (path !== undefined) resolvedEnv[name] = path;
  }
  const args =
    paths.size === 0
      ? parsed.argv
      : rewritePaths(parsed, ({ path, value }) => (isState(path) ? paths.get(value) : undefined));
  return { args, env: resolvedEnv, stateSources: [...stateSources.values()] };
}

const isState = ({ kind }: DbtPath): boolean => kind === "state" || kind === "defer-state";

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
