/** What has to be known before anything may be printed: the run's folders, its environment and its secrets. */
import type { Run } from "../core/run.ts";
import type { SnapshotEntry } from "../snapshot/entry.ts";
import type { JobContext } from "./execute-run.ts";
import type { Outcome } from "./outcome.ts";
import { type RunEnvironment, readEnvelope, runEnvironment } from "./run-environment.ts";
import { emptyProfiles, openWorkspace, type Workspace, writeProfiles } from "./workspace.ts";

export interface RunPreparation {
  readonly workspace: Workspace;
  readonly environment: RunEnvironment;
  /** Files of the snapshot, on their way. */
  readonly entries: Promise<readonly SnapshotEntry[]>;
  /** What dbt gets, before its paths are adapted. */
  readonly args: readonly string[];
  /** Removes what may not be kept between runs. */
  tidy(): void;
}

/** Undefined where the envelope has expired. */
export async function prepareRun(context: JobContext, run: Run): Promise<RunPreparation | undefined> {
  const { settings, state, stores, env, engine } = context;
  const entries = stores.snapshots.load(run.snapshotId);
  // Awaited later; until then a failure must not count as one that nobody handles.
  entries.catch(() => undefined);
  const stored = await state.envelopes.take(run.id);
  if (stored === undefined) return undefined;
  const envelope = readEnvelope(stored);
  const { dataDir, root, profilesDir, jobEnv } = settings;
  const workspace = openWorkspace({ dataDir, run, root, serverProfiles: profilesDir });
  const tidy = (): void => emptyProfiles(workspace);
  try {
    writeProfiles(workspace, envelope);
    const environment = await runEnvironment({
      ...{ workspace, envelope },
      ...{ jobEnv: env, allow: jobEnv, dbtVersion: () => engine.version() },
    });
    return { workspace, environment, entries, args: envelope.args ?? run.args, tidy };
  } catch (error) {
    tidy();
    throw error;
  }
}

export function envelopeExpired({ createdAt }: Pick<Run, "createdAt">): Outcome {
  const message = `The run was posted at ${createdAt}, and what it needs (profile, environment) is no longer kept. Run the command again.`;
  return { status: "failed", reason: "envelope_expired", message, exitCode: null };
}
