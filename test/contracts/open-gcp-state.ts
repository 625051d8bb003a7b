/** Opens a State on the emulators for programs of the tests. */
import { connectGcp } from "../../src/gcp/connect.ts";
import { openGcpState } from "../../src/state/gcp/open.ts";
import type { JsonObject, State } from "../../src/state/port.ts";

export async function open(params: JsonObject): Promise<State> {
  const clients = await connectGcp({
    projectId: String(params["projectId"]),
    bucket: String(params["bucket"]),
    env: params["env"] as Record<string, string>,
    home: "/nonexistent",
    now: Date.now,
  });
  return openGcpState({ ...clients, now: Date.now });
}
