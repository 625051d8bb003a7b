/**
 * Ctrl-C and its kin. Before a run exists, the first signal leaves; while a run is followed, the first one asks for its
 * cancellation and the second one leaves; a hang-up always leaves and never cancels.
 */
import { AppError } from "../core/errors.ts";

type Signal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** `process`, or what stands in for it. */
export interface SignalSource {
  on(signal: Signal, listener: () => void): unknown;
  off(signal: Signal, listener: () => void): unknown;
}

export interface Interrupts {
  /** Aborted when dbt-remote is to leave at once; the reason is the AppError to end with. */
  readonly signal: AbortSignal;
  /** The run is being posted: a signal waits for the answer, since the run may exist already. */
  posting(): void;
  /** The run exists: from now on the first signal calls `cancel`, once. */
  started(run: { readonly id: string; readonly number: number }, cancel: () => void): void;
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
    } else if (phase === "running") {
      phase = "cancelling";
      cancelRun?.();
    } else leaveRun("Left without waiting for the cancellation");
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
