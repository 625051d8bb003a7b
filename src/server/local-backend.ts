/** State in a folder of this machine, which one server has to itself, and jobs as its processes. */
import { jobOutputPath } from "../executors/local.ts";
import { snapshotId } from "../snapshot/entry.ts";
import { lockDataDir } from "../state/local/lock.ts";
import { openLocalState } from "../state/local/open.ts";
import { createStores } from "../state/stores.ts";
import type { Backend, BackendParams } from "./backend.ts";
import { createLocalJobs } from "./local-jobs.ts";
import { clearRoot, warehousePath } from "./workspaces.ts";

export async function openLocalBackend(params: BackendParams): Promise<Backend> {
  const { settings, now } = params;
  const { dataDir } = settings;
  const lock = lockDataDir(dataDir, process.pid);
  const state = await openLocalState({ dataDir, now });
  return {
    state,
    stores: createStores({ state, now, snapshotId }),
    ...createLocalJobs(params, {}),
    drains: false,
    jobOutput: (runId) => jobOutputPath(dataDir, runId),
    warehousePath: (run) => warehousePath(dataDir, run),
    clearRoot: (run, root) => clearRoot(dataDir, run, root),
    listening: lock.describe,
    sweepIsDue: async () => true,
    async close() {
      await state.close();
      lock.release();
    },
  };
}
