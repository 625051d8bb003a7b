/** How the server ends a run whose job cannot: because it never began, or because it is gone. */
import { createHash } from "node:crypto";
import type { FailureReason, Run } from "../core/run.ts";
import type { WorkspaceRoot } from "../state/leases.ts";
import type { LogName, LogSeal, State } from "../state/port.ts";
import type { RunPatch } from "../state/runs.ts";
import type { Stores } from "../state/stores.ts";
import type { Launches } from "./launches.ts";

export type Ending =
  | { readonly status: "cancelled"; readonly message: string }
  | { readonly status: "failed"; readonly reason: FailureReason; readonly message: string };

export interface RunEndings {
  /** Ends a run that no job has claimed; false where a job was faster. */
  endPending(run: Run, ending: Ending): Promise<boolean>;
  /** Ends a run whose job is gone for certain. What dbt itself achieved before stays true. */
  endRunning(run: Run, ending: Ending): Promise<void>;
}

const EMPTY_LOG: LogSeal = { finalOffset: 0, sha256: createHash("sha256").digest("hex") };

export interface RunEndingsParams {
  readonly state: State;
  readonly stores: Stores;
  readonly launches: Launches;
  /** Removes the secrets that a job which was cut off left in a root that nobody else has. */
  readonly clearRoot: (run: Run, root: WorkspaceRoot) => void;
}

export function createRunEndings({ state, stores, launches, clearRoot }: RunEndingsParams): RunEndings {
  const { runs, leases } = stores;

  /** Before the run's end is written: from then on another run may have its root. */
  async function clear(run: Run): Promise<void> {
    for (const root of [1, 2] as const) {
      const holder = await leases.holder(run.workspace, root);
      if (holder === undefined || holder === run.id) clearRoot(run, root);
    }
  }

  async function tidy({ id, workspace }: Run): Promise<void> {
    await leases.release({ workspace, root: 1, runId: id });
    await leases.release({ workspace, root: 2, runId: id });
    await state.envelopes.discard(id);
    await launches.forget(id);
  }

  /** Says to readers that nothing more will come; nothing is added to what the job has shipped. */
  async function seal(runId: string, name: LogName): Promise<LogSeal> {
    const sealed = async (): Promise<LogSeal | null> => (await state.logs.read(runId, name, 0, 1)).seal;
    const found = await sealed();
    if (found !== null) return found;
    try {
      const writer = await state.logs.openWriter(runId, name);
      try {
        return await writer.seal();
      } finally {
        await writer.close();
      }
    } catch (error) {
      // Another server does the same, and was faster.
      const seal = await sealed();
      if (seal !== null) return seal;
      throw error;
    }
  }

  return {
    async endPending(run, ending) {
      const log = { logSize: EMPTY_LOG.finalOffset, logSha256: EMPTY_LOG.sha256 };
      const launch = await launches.get(run.id);
      const execution = launch?.kind === "cloud-run" ? { execution: launch.id } : {};
      const patch: RunPatch = { ...log, ...execution, message: ending.message, ...reasonOf(ending) };
      const { moved } = await runs.transition(run.id, ending.status, patch);
      if (moved) await tidy(run);
      return moved;
    },

    async endRunning(run, ending) {
      const { finalOffset, sha256 } = await seal(run.id, "log");
      await seal(run.id, "events");
      await clear(run);
      const log = { logSize: finalOffset, logSha256: sha256 };
      const { dbtFinished } = run;
      if (dbtFinished === null) {
        await runs.transition(run.id, ending.status, { ...log, message: ending.message, ...reasonOf(ending) });
      } else {
        const { exitCode } = dbtFinished;
        const warnings = [...run.warnings, `dbt had ended, but not the work after it: ${ending.message}`];
        const patch: RunPatch = { ...log, exitCode, warnings };
        if (ending.status === "cancelled")
          await runs.transition(run.id, "cancelled", { ...patch, message: ending.message });
        else if (exitCode === 0) await runs.transition(run.id, "success", patch);
        else
          await runs.transition(run.id, "failed", { ...patch, reason: exitCode > 128 ? "dbt_killed" : "dbt_failed" });
      }
      await tidy(run);
    },
  };
}

function reasonOf(ending: Ending): RunPatch {
  return ending.status === "failed" ? { reason: ending.reason } : {};
}
