import { randomUUID } from "node:crypto";
import type { NewRun } from "../src/state/runs.ts";

/** A run as it is posted; a workspace and a requester of its own unless told otherwise. */
export function newRun(changes: Partial<NewRun> = {}): NewRun {
  return {
    id: randomUUID(),
    command: ["run"],
    args: ["run"],
    verb: "run",
    access: "write",
    requester: { id: `user-${randomUUID()}`, label: "ada" },
    workspace: randomUUID(),
    workspaceName: null,
    snapshotId: `v1-${"0".repeat(64)}`,
    projectDir: ".",
    mode: "project",
    inputs: [],
    stateSources: [],
    warehouseFile: null,
    profileFrom: "client",
    target: "dev",
    options: { timeoutMs: null, cancelOnDisconnectMs: null, elementary: false, jobProfile: null },
    envNames: [],
    ...changes,
  };
}
