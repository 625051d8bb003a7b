/** `dbt-server gc`: may run beside servers. */
import { snapshotId } from "../snapshot/entry.ts";
import type { State } from "../state/port.ts";
import { createStores } from "../state/stores.ts";
import type { BackendParams } from "./backend.ts";
import { describeReport, keepHouse } from "./housekeeping.ts";

export interface CollectGarbageParams extends Pick<BackendParams, "settings" | "env" | "home" | "google"> {
  readonly dryRun: boolean;
}

/** Resolves to what was removed, in lines for people. */
export async function collectGarbage(params: CollectGarbageParams): Promise<string> {
  const { settings, dryRun } = params;
  const { dataDir, retentionMs } = settings;
  const now = Date.now;
  const state = await openState(params, now);
  try {
    const { runs } = createStores({ state, now, snapshotId });
    return describeReport(await keepHouse({ state, runs, dataDir, retentionMs, now, dryRun }));
  } finally {
    await state.close();
  }
}

async function openState({ settings, env, home, google }: CollectGarbageParams, now: () => number): Promise<State> {
  if (settings.google === undefined) {
    const { openLocalState } = await import("../state/local/open.ts");
    return openLocalState({ dataDir: settings.dataDir, now });
  }
  const { openGoogleState } = await import("./google-backend.ts");
  return openGoogleState({ google, env, home, now }, settings.google);
}
