/**
 * Ctrl-C and its kin. Before a run exists, the first signal leaves; while a run is followed, the first one asks for its
 * cancellation and the second one leaves; a hang-up always leaves and never cancels.
 */
import { AppError } from "../core/errors.ts";
import type { SignalSource } from "./context.ts";

export interface Interrupts {
  /** Aborted when dbt-remote is to leave at once; the reason is the AppError to end with. */
  readonly signal: AbortSignal;
  /** The run is being posted: a signal waits for the answer, since the run may exist already. */
  posting(): void;
  /** The post was refused: no run exists, and a signal leaves again. */
  refused(): void;
  /** The run exists: from now on the first signal calls `cancel`, once. Without it, the first signal leaves. */
  started(run: { readonly id: string; readonly number: number }, cancel: (() => void) | undefined): void;
  /** Stops listening: signals do what they do by default. */
  stop(): void;
}

type Phase = "before" | "posting" | "running" | "cancelling";

export function watchInterrupts(source: SignalSource): Interrupts {
  const controller = new AbortController();
  let phase: Phase = "before";
  let isAsked = false;
  let cancelRun: (() => void) | undefined;
  let attach = "";
  let name = "";

  const leave = (message: string, hint?: string) =>
    controller.abort(new AppError("interrupted", message, hint === undefined ? {} : { hint }));
  const leaveRun = (message: string) => leave(`${message}; ${name} goes on.`, attach);

  const interrupt = () => {
    if (phase === "before") leave("Interrupted before the run was posted: nothing was started.");
    else if (phase === "posting") {
      if (isAsked) leave("Interrupted while the run was being posted: it may have been started.", "dbt-remote runs");
      isAsked = true;
    } else if (phase === "running" && cancelRun !== undefined) {
      phase = "cancelling";
      cancelRun();
    } else leaveRun(phase === "running" ? "Left" : "Left without waiting for the cancellation");
  };
  const hangUp = () => {
    if (phase === "before" || phase === "posting") leave("The terminal was closed.");
    else leaveRun("The terminal was closed");
  };

  source.on("SIGINT", interrupt);
  source.on("SIGTERM", interrupt);
  source.on("SIGHUP", hangUp);
  return {
    signal: controller.signal,
    posting: () => {
      phase = "posting";
    },
    refused: () => {
      phase = "before";
      if (isAsked) interrupt();
    },
    started: ({ id, number }, cancel) => {
      phase = "running";
      cancelRun = cancel;
      attach = `dbt-remote attach ${id}`;
      name = `run ${number}`;
      if (isAsked) interrupt();
    },
    stop: () => {
      source.off("SIGINT", interrupt);
      source.off("SIGTERM", interrupt);
      source.off("SIGHUP", hangUp);
    },
  };
}
