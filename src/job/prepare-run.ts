/** What has to be known before anything may be printed: the run's folders, its environment and its secrets. */
import { parseDbtArgv } from "../core/dbt-argv.ts";
import { pathOfVariable } from "../core/dbt-environment.ts";
import type { Envelope } from "../core/envelope.ts";
import type { Run } from "../core/run.ts";
import type { DbtInvocation } from "../dbt/port.ts";
import type { SnapshotEntry } from "../snapshot/entry.ts";
import { adaptArgs } from "./adapt.ts";
import { cacheIdentity } from "./cache-identity.ts";
import { parseCloudSettings } from "./cloud-settings.ts";
import type { JobContext } from "./execute-run.ts";
import type { Outcome } from "./outcome.ts";
import { createRunCache, type RunCache } from "./run-cache.ts";
import { type RunEnvironment, readEnvelope, runEnvironment } from "./run-environment.ts";
import { withSecrets } from "./secrets.ts";
import { emptyProfiles, openWorkspace, type Workspace, writeProfiles } from "./workspace.ts";

export interface RunPreparation {
  readonly workspace: Workspace;
  readonly environment: RunEnvironment;
  /** Files of the snapshot, on their way. */
  readonly entries: Promise<readonly SnapshotEntry[]>;
  /** What dbt gets, before its paths are adapted. */
  readonly args: readonly string[];
  /** Set where folders are new for each run. */
  readonly cache: RunCache | undefined;
  /** Removes what may not be kept between runs. */
  tidy(): void;
}

/** Undefined where the envelope has expired. */
export async function prepareRun(context: JobContext, run: Run): Promise<RunPreparation | undefined> {
  const { settings, state, stores, env, engine } = context;
  const entries = stores.snapshots.load(run.snapshotId);
  // Awaited later; until then a failure must not count as one that nobody handles.
  entries.catch(() => undefined);
  const taken = state.envelopes.take(run.id);
  taken.catch(() => undefined);
  const cloud = parseCloudSettings(env);
  const { dataDir, root = 1, fixedBase, profilesDir, jobEnv } = settings;
  // Profiles of a secret are put where a client's would be: into a file of this run's alone.
  const profileFrom = cloud.profilesSecret === undefined ? run.profileFrom : "client";
  const place = { workspace: run.workspace, projectDir: run.projectDir, profileFrom };
  const workspace = openWorkspace({ dataDir, run: place, root, fixedBase, serverProfiles: profilesDir });
  const isPlaced = !run.envNames.some((name) => pathOfVariable(name) !== null);
  if (isPlaced) announce(engine, { args: run.args, workspace, env: {} });
  const stored = await taken;
  if (stored === undefined) return undefined;
  const envelope = await withSecrets(readEnvelope(stored), { ...cloud, run, readSecret: context.readSecret });
  const tidy = (): void => emptyProfiles(workspace);
  try {
    writeProfiles(workspace, envelope);
    const environment = await runEnvironment({
      ...{ workspace, envelope },
      ...{ jobEnv: env, allow: jobEnv, dbtVersion: () => engine.version() },
    });
    const args = envelope.args ?? run.args;
    if (!isPlaced) announce(engine, { args, workspace, env: environment.env });
    const cache = cloud.isFresh ? openCache(context, run, workspace, environment, envelope) : undefined;
    return { workspace, environment, entries, args, cache, tidy };
  } catch (error) {
    tidy();
    throw error;
  }
}

/** As soon as it can be told where dbt will have its parse state. */
function announce(
  engine: JobContext["engine"],
  { args, workspace, env }: Pick<DbtInvocation, "args" | "env"> & { readonly workspace: Workspace },
): void {
  try {
    engine.announce?.({ args: adaptArgs(args, workspace), cwd: workspace.project, env });
  } catch {
    // A path that can't be: said when it is time.
  }
}

function openCache(
  { state, now, settings }: JobContext,
  run: Run,
  workspace: Workspace,
  { env, secrets, profiles }: RunEnvironment,
  envelope: Envelope,
): RunCache {
  const identity = cacheIdentity({
    ...{ parsed: parseDbtArgv(envelope.args ?? run.args), envelope, profiles, secrets },
    ...{ python: settings.python, project: workspace.project },
  });
  return createRunCache({ state, now, run, workspace, identity, env, secrets });
}

export function envelopeExpired({ createdAt }: Pick<Run, "createdAt">): Outcome {
  const message = `The run was posted at ${createdAt}, and what it needs (profile, environment) is no longer kept. Run the command again.`;
  return { status: "failed", reason: "envelope_expired", message, exitCode: null };
}
