/** Brings back what a run made, and says what could not be. Never changes the exit code: dbt has done its work. */
import type { Client } from "../api/client.ts";
import type { RunView } from "../api/schemas/runs.ts";
import { flagState, hasFlag, parseDbtArgv } from "../core/dbt-argv.ts";
import { AppError } from "../core/errors.ts";
import type { DbtFinished } from "../core/run.ts";
import { applyArtifacts } from "./apply-artifacts.ts";
import { cleanLocally } from "./clean-local.ts";
import type { CliContext } from "./context.ts";
import type { Output } from "./output.ts";
import { type Places, rememberPlaces } from "./places.ts";

export interface TakeHomeOptions {
  readonly context: CliContext;
  readonly client: Client;
  readonly run: RunView;
  readonly output: Output;
  readonly places: Places | undefined;
  readonly exitCode: number;
  /** What is known of dbt's end; null where it never ended by itself. */
  readonly finished: DbtFinished | null;
}

export async function takeHome({
  context,
  client,
  run,
  output,
  places,
  exitCode,
  finished,
}: TakeHomeOptions): Promise<void> {
  if (places === undefined) return;
  const dbt = parseDbtArgv(run.command);
  const succeeded = exitCode === 0;
  try {
    if (dbt.verb === "clean" && succeeded) {
      await cleanLocally(places, { alsoOutside: flagState(dbt, "--clean-project-files-only") === false });
    }
    if (finished?.targetPack === false) return;
    const pack = await client.artifactPack(run.id);
    const replacePackages = dbt.verb === "deps" && succeeded && !hasFlag(dbt, "--lock");
    const { refused } = await applyArtifacts({ pack, places, replacePackages, appendLog: places.logAppended !== true });
    for (const each of refused) output.say(`not written: ${each}`);
    await rememberPlaces(context.env, run.id, { ...places, logAppended: true });
  } catch (error) {
    // A run that made nothing has no pack.
    if (error instanceof AppError && error.code === "artifact_not_found") return;
    const reason = error instanceof Error ? error.message : String(error);
    output.complain(`dbt-remote: what run ${run.number} made could not be brought back: ${reason}`);
    output.complain(`  To try again: dbt-remote attach ${run.id}`);
  }
}
