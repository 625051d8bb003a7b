/** What dbt-remote says of a run while it follows it: a few short lines, and a spinner on a terminal. */
import type { Client } from "../api/client.ts";
import type { RunView } from "../api/schemas/runs.ts";
import type { Output } from "./output.ts";

export interface Progress {
  /** Takes a new view of the run. */
  seen(run: RunView): void;
  /** dbt or the job has printed something: no more waiting. */
  heard(): void;
  stop(): void;
}

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

export interface ProgressOptions {
  readonly output: Output;
  readonly client: () => Client;
}

export function createProgress({ output, client }: ProgressOptions): Progress {
  let frame = 0;
  let status = "";
  let waitedFor: string | undefined;
  let saidProfile = false;
  const timer = output.err.isTerminal
    ? setInterval(() => {
        frame += 1;
        if (status !== "") output.status(`${FRAMES[frame % FRAMES.length]} ${status}`);
      }, 120)
    : undefined;
  timer?.unref();

  const sayWaiting = async (run: RunView, behindId: string) => {
    const behind = await client()
      .run(behindId)
      .catch(() => undefined);
    if (waitedFor !== behindId) return;
    const whose =
      behind === undefined
        ? `run ${behindId}`
        : `run ${behind.number} (${behind.command.join(" ")}) of ${behind.requester}`;
    output.say(`run ${run.number} is waiting for ${whose} to end`);
    status = `waiting for ${whose}`;
  };

  return {
    seen: (run) => {
      if (!saidProfile && run.profileFrom === "server") output.say("using the profile that lives on the server");
      saidProfile = true;
      const behind = run.status === "pending" ? (run.waitingFor ?? undefined) : undefined;
      if (behind !== undefined && behind !== waitedFor) {
        waitedFor = behind;
        void sayWaiting(run, behind);
      } else if (behind === undefined) {
        waitedFor = undefined;
        if (status !== "" || run.status === "pending") status = `run ${run.number} is starting`;
      }
    },
    heard: () => {
      status = "";
      output.status("");
      clearInterval(timer);
    },
    stop: () => {
      clearInterval(timer);
      output.status("");
    },
  };
}

/** The upload bar. */
export function uploadStatus(sentBytes: number, totalBytes: number, columns: number): string {
  const width = Math.max(10, Math.min(40, columns - 40));
  const share = totalBytes === 0 ? 1 : sentBytes / totalBytes;
  const filled = Math.round(share * width);
  const size = (bytes: number) => `${(bytes / 1_000_000).toFixed(1)} MB`;
  return `sending [${"#".repeat(filled)}${" ".repeat(width - filled)}] ${size(sentBytes)} of ${size(totalBytes)}`;
}
