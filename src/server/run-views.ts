/** A run as clients see it. */
import { paths } from "../api/paths.ts";
import type { RunView } from "../api/schemas/runs.ts";
import { type ExecutionLinks, executionLinks } from "../core/cloud-run-links.ts";
import { hasElementaryReport } from "../core/elementary.ts";
import { logsExplorerUrl } from "../core/log-entry.ts";
import type { Run } from "../core/run.ts";
import type { CancellationStore } from "../state/cancellations.ts";
import type { Launches } from "./launches.ts";

export interface RunViewParams {
  readonly cancellations: Pick<CancellationStore, "get">;
  readonly launches: Pick<Launches, "get">;
  /** Id of the run that has to end first; null where it waits for none. */
  readonly waitingFor: (runId: string) => string | null;
  /** Path on this machine of the warehouse file that the profile names relatively; null where it can't be said. */
  readonly warehousePath: (run: Run) => string | null;
  /** The Google Cloud project whose log has entries of runs; null where none has. */
  readonly logProjectId: string | null;
}

export type RunViews = (run: Run) => Promise<RunView>;

export function createRunViews({
  cancellations,
  launches,
  waitingFor,
  warehousePath,
  logProjectId,
}: RunViewParams): RunViews {
  /** Its job writes it down when it begins. */
  async function executionOf(run: Run): Promise<ExecutionLinks | null> {
    const name = run.execution ?? (run.status === "pending" ? (await launches.get(run.id))?.id : undefined);
    return name === undefined ? null : (executionLinks(name) ?? null);
  }

  return async (run) => ({
    id: run.id,
    number: run.number,
    status: run.status,
    reason: run.reason,
    message: run.message,
    exitCode: run.exitCode,
    command: [...run.command],
    verb: run.verb,
    access: run.access,
    requester: run.requester.label,
    workspace: run.workspace,
    workspaceName: run.workspaceName,
    snapshotId: run.snapshotId,
    mode: run.mode,
    target: run.target,
    profileFrom: run.profileFrom,
    warehouseFile: warehousePath(run),
    envNames: [...run.envNames],
    dbtVersion: run.dbtVersion,
    createdAt: run.createdAt,
    startedAt: run.startedAt,
    dbtFinished: run.dbtFinished,
    finishedAt: run.finishedAt,
    cancelRequestedAt: (await cancellations.get(run.id))?.at ?? null,
    logSize: run.logSize,
    waitingFor: run.status === "pending" ? waitingFor(run.id) : null,
    warnings: [...run.warnings],
    elementary: run.options.elementary && hasElementaryReport(run.verb),
    execution: await executionOf(run),
    links: {
      self: paths.run(run.id),
      log: paths.log(run.id),
      events: paths.events(run.id),
      artifacts: paths.artifacts(run.id),
      cancel: paths.cancel(run.id),
      cloudLog: logProjectId === null ? null : logsExplorerUrl(logProjectId, run.id, run.createdAt),
    },
  });
}
