/** Which workspace a run works in. Never shared between requesters. */
import { createHash } from "node:crypto";

export interface WorkspaceChoice {
  readonly name?: string | undefined;
  readonly checkout?: string | undefined;
}

/** SHA-256, in hex, of the requester and the workspace's name or checkout. */
export function workspaceKey(requesterId: string, { name, checkout }: WorkspaceChoice): string {
  const place = name === undefined ? ["checkout", checkout ?? ""] : ["name", name];
  return createHash("sha256")
    .update(JSON.stringify([requesterId, ...place]))
    .digest("hex");
}
