/** What every backend of State must do; see src/state/port.ts. A backend passes it unchanged or is none. */
import { after, before, describe } from "node:test";
import type { JsonObject, State } from "../../src/state/port.ts";
import { artifactsContract } from "./state-artifacts.ts";
import { blobsContract } from "./state-blobs.ts";
import { contentsContract } from "./state-contents.ts";
import { envelopesContract } from "./state-envelopes.ts";
import { leasesContract } from "./state-leases.ts";
import { logsContract } from "./state-logs.ts";
import { processesContract } from "./state-processes.ts";
import { recordsContract } from "./state-records.ts";
import { retentionContract } from "./state-retention.ts";
import { runsContract } from "./state-runs.ts";
import { snapshotsContract } from "./state-snapshots.ts";

/** A backend under test. Its clock is the real one; tests that need another time pass it to what takes it. */
export interface StateHarness {
  readonly state: State;
  /** Another handle on the same data, as another process has it. The harness closes it. */
  reopen(): Promise<State>;
  /** For programs of the test: a module that exports `open(params): Promise<State>`. */
  readonly opener: { readonly module: string; readonly params: JsonObject };
  close(): Promise<void>;
}

/** Gives each part of the contract the harness, once it is there. */
export type HarnessOf = () => StateHarness;

export function describeStateContract(name: string, makeState: () => Promise<StateHarness>): void {
  describe(`state contract: ${name}`, () => {
    let harness: StateHarness | undefined;
    before(async () => {
      harness = await makeState();
    });
    after(async () => {
      await harness?.close();
    });
    const harnessOf: HarnessOf = () => {
      if (harness === undefined) throw new Error("the harness is made before the tests");
      return harness;
    };
    recordsContract(harnessOf);
    blobsContract(harnessOf);
    contentsContract(harnessOf);
    logsContract(harnessOf);
    envelopesContract(harnessOf);
    runsContract(harnessOf);
    leasesContract(harnessOf);
    snapshotsContract(harnessOf);
    artifactsContract(harnessOf);
    retentionContract(harnessOf);
    processesContract(harnessOf);
  });
}
