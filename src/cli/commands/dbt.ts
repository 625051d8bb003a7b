/** Any dbt command: send what changed, post the run, follow it, bring back what it made. */
import { randomUUID } from "node:crypto";
import type { FlagTexts } from "../../config/options.ts";
import { type DbtArgv, flagState } from "../../core/dbt-argv.ts";
import { findOption } from "../../core/dbt-commands.ts";
import { valueFromEnvironment } from "../../core/dbt-environment.ts";
import { hasElementaryReport } from "../../core/elementary.ts";
import type { CliContext, Env } from "../context.ts";
import { findServer } from "../find-server.ts";
import { followRun } from "../follow-run.ts";
import { watchInterrupts } from "../interrupts.ts";
import { createOutput } from "../output.ts";
import { rememberPlaces } from "../places.ts";
import { uploadStatus } from "../progress.ts";
import { projectDirOf } from "../project-dir.ts";
import { reported } from "../report-errors.ts";
import { buildRun } from "../request.ts";
import { loadSettings } from "../settings.ts";
import { postRun } from "../upload.ts";

/** dbt's own `--quiet` is dbt-remote's too. */
function isQuiet(dbt: DbtArgv, env: Env): boolean {
  const typed = flagState(dbt, "--quiet");
  const option = findOption(undefined, "--quiet")?.option;
  const set = option === undefined ? undefined : valueFromEnvironment(option, env);
  return typed ?? /^(1|t|true|y|yes|on)$/i.test(set ?? "");
}

/** Rejects as soon as dbt-remote is to leave. */
function orLeave<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}

/** Resolves to the exit code; never rejects. */
export function runDbt(context: CliContext, flags: FlagTexts, dbt: DbtArgv): Promise<number> {
  return reported(context, () => sendAndFollow(context, flags, dbt));
}

async function sendAndFollow(context: CliContext, flags: FlagTexts, dbt: DbtArgv): Promise<number> {
  const { env, stdout, stderr } = context;
  const quiet = isQuiet(dbt, env);
  const output = createOutput(stdout, stderr, { quiet });
  const interrupts = watchInterrupts(context.signals);
  const { signal } = interrupts;
  try {
    const settings = await loadSettings(context, flags, projectDirOf(dbt, context));
    const { values } = settings;
    const [client, built] = await orLeave(
      Promise.all([findServer(context, settings), buildRun(context, settings, dbt)]),
      signal,
    );
    for (const notice of built.notices) output.say(notice);
    if (settings.origins.elementary === "flag" && !hasElementaryReport(dbt.verb))
      output.say(`no Elementary report: dbt ${dbt.verb} leaves no results to report`);
    const answer = await postRun({
      ...built,
      client,
      idempotencyKey: values.idempotencyKey ?? randomUUID(),
      signal,
      posting: interrupts.posting,
      refused: interrupts.refused,
      progress: (sent, total) => output.status(sent < total ? uploadStatus(sent, total, output.err.columns) : ""),
    });
    const { run } = answer;
    await rememberPlaces(env, run.id, built.places);
    if (!answer.created && values.idempotencyKey !== undefined)
      output.say(`run ${run.number} was started before with this idempotency key`);
    if (values.detach) {
      await output.out.write(
        values.json
          ? `${JSON.stringify({ id: run.id, number: run.number, url: client.baseUrl + run.links.self })}\n`
          : `${run.id}\n`,
      );
      return 0;
    }
    return await followRun({
      context,
      settings,
      client,
      run,
      output,
      interrupts,
      quiet,
      places: built.places,
      withheld: built.withheld,
    });
  } finally {
    interrupts.stop();
    await output.flush();
  }
}
