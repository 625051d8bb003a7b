/** Opens a local State for programs of the tests. */

import { openLocalState } from "../../src/state/local/open.ts";
import type { JsonObject, State } from "../../src/state/port.ts";

export function open(params: JsonObject): Promise<State> {
  return openLocalState({ dataDir: String(params["dataDir"]), now: Date.now });
}
