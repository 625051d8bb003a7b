/** Follows a run on this terminal to its end: prints, brings artifacts back, and gives the exit code. */
import type { Client } from "../api/client.ts";
import type { RunView } from "../api/schemas/runs.ts";
import { AppError } from "../core/errors.ts";
import { exitCodeOf } from "../core/exit-codes.ts";
import type { DbtFinished } from "../core/run.ts";
import { sayElementaryReport } from "./elementary-report.ts";
import { watchMissingEnvVars } from "./env-var-hint.ts";
import { type Followed, follow } from "./follow.ts";
import type { Interrupts } from "./interrupts.ts";
import type { Places } from "./places.ts";
import { createProgress } from "./progress.ts";
import { type TerminalOptions, terminal } from "./terminal-sink.ts";

export interface FollowRunOptions extends TerminalOptions {
  readonly run: RunView;
  readonly interrupts: Interrupts;
  /** Where artifacts go; undefined: they stay on the server. */
  readonly places: Places | undefined;
  /** Asked at the end: whether `places` may still be written to. Default: yes. */
  readonly mayWrite?: (client: Client) => Promise<boolean>;
  /** Secrets that the project uses and that were not sent. */
  readonly withheld: readonly string[];
  /** Whether the first Ctrl-C cancels the run; else it leaves. Default: true. */
  readonly mayCancel?: boolean;
}

/** dbt's exit codes up to here speak for themselves: all was well, or a model or test failed. */
const MAX_PLAIN_EXIT_CODE = 1;
const MAX_JOB_TEXT = 65_536;

export async function followRun(options: FollowRunOptions): Promise<number> {
  const { settings, run, output, interrupts } = options;
  const { client: current, reconnect, sink } = terminal(options);
  const missing = watchMissingEnvVars();
  const progress = createProgress({ output, client: current });
  progress.seen(run);

  const cancel = () => {
    output.say(`cancelling run ${run.number}; once more to leave at once`);
    void requestCancel(current, run, interrupts.signal).catch((error: unknown) => {
      if (!interrupts.signal.aborted) output.complain(`dbt-remote: ${error instanceof Error ? error.message : error}`);
    });
  };
  interrupts.started(run, options.mayCancel === false ? undefined : cancel);

  // Loaded while dbt works.
  const home = import("./take-home.ts");
  const prepare = async () => (await import("./prepare-home.ts")).prepareHome(options.context.env);
  void home.then(prepare).catch(() => undefined);
  let jobText = "";
  let followed: Followed;
  try {
    followed = await follow({
      ...{ client: options.client, runId: run.id, reconnect },
      sink: {
        ...sink,
        run: progress.seen,
        bytes: async (channel, bytes) => {
          progress.heard();
          missing.watch(bytes);
          if (channel === "job") jobText = (jobText + Buffer.from(bytes).toString("utf8")).slice(-MAX_JOB_TEXT);
          await sink.bytes(channel, bytes);
        },
      },
      leaveAt: (finished) => speaksForItself(finished) && !run.elementary,
      giveUpAfterMs: settings.values.reconnectTimeout,
      signal: interrupts.signal,
    });
  } finally {
    progress.stop();
  }
  const { client } = followed;
  // Most warnings were among the job's own lines.
  for (const warning of followed.run?.warnings ?? []) if (!jobText.includes(warning)) output.say(`warning: ${warning}`);
  const code = codeOf(followed);
  const { takeHome } = await home;
  const mayWrite = options.places !== undefined && (await (options.mayWrite?.(client).catch(() => true) ?? true));
  const places = mayWrite ? options.places : undefined;
  await takeHome({ ...options, places, client, run: followed.run ?? run, exitCode: code, finished: followed.finished });
  if (run.elementary) await sayElementaryReport(client, run, output);
  sayWhy(options, followed, code, missing.missing());
  return code;
}

/** Where dbt was stopped or killed, only the run's own end tells why. */
export function speaksForItself({ exitCode, stopped }: Pick<DbtFinished, "exitCode" | "stopped">): boolean {
  return exitCode <= MAX_PLAIN_EXIT_CODE && stopped !== true;
}

function codeOf({ end, finished }: Followed): number {
  if (end !== null) return exitCodeOf({ ...end, exitCode: finished?.exitCode ?? end.exitCode });
  return finished?.exitCode ?? 2;
}

/** dbt explains its own failures; the rest is explained here. */
function sayWhy(
  { context, run, output, withheld }: FollowRunOptions,
  { end }: Followed,
  code: number,
  missing: string[],
) {
  if (end !== null && end.status !== "success" && end.reason !== "dbt_failed") {
    const why = end.message ?? end.reason?.replaceAll("_", " ") ?? "";
    output.complain(`dbt-remote: run ${run.number} ${end.status}${why === "" ? "" : `: ${why}`}`);
  }
  if (code === 0) return;
  for (const name of missing) {
    if (context.env[name] === undefined) continue;
    output.say(`${name} is set here: send it with ${withheld.includes(name) ? "--send-secret" : "--env"} ${name}`);
  }
}

/** Asks until the server has heard it: a cancellation must survive a break. */
async function requestCancel(client: () => Client, { id }: RunView, signal: AbortSignal): Promise<void> {
  for (let tries = 0; !signal.aborted; tries += 1) {
    try {
      await client().cancel(id);
      return;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      if (error.code === "run_finished") return;
      if (error.code !== "server_unreachable" || tries >= 20) throw error;
    }
  }
}
