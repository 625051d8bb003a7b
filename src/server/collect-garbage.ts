/** `dbt-server gc`: may run beside a server. */
import { snapshotId } from "../snapshot/entry.ts";
import { openLocalState } from "../state/local/open.ts";
import { createStores } from "../state/stores.ts";
import { describeReport, keepHouse } from "./housekeeping.ts";
import type { ServerSettings } from "./options.ts";

/** Resolves to what was removed, in lines for people. */
export async function collectGarbage(settings: ServerSettings, dryRun: boolean): Promise<string> {
  const { dataDir, retentionMs } = settings;
  const now = Date.now;
  const state = await openLocalState({ dataDir, now });
  try {
    const { runs } = createStores({ state, now, snapshotId });
    return describeReport(await keepHouse({ state, runs, dataDir, retentionMs, now, dryRun }));
  } finally {
    await state.close();
  }
}
