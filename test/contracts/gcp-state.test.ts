import { test } from "node:test";
import type { JsonObject, State } from "../../src/state/port.ts";
import { emulatorsMissing, gcpPlace } from "../emulators.ts";
import { requirePart } from "../require.ts";
import { open } from "./open-gcp-state.ts";
import { describeStateContract } from "./state-contract.ts";

const missing = emulatorsMissing();
if (missing === undefined) {
  describeStateContract("gcp", async () => {
    const params = { ...(await gcpPlace()) } as unknown as JsonObject;
    const opened: State[] = [];
    const reopen = async (): Promise<State> => {
      const state = await open(params);
      opened.push(state);
      return state;
    };
    return {
      state: await reopen(),
      reopen,
      opener: { module: new URL("open-gcp-state.ts", import.meta.url).href, params },
      async close() {
        await Promise.all(opened.map((state) => state.close()));
      },
    };
  });
} else {
  test("state contract: gcp", (context) => {
    requirePart(context, "Google's emulators", false, missing);
  });
}
