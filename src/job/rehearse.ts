/**
 * What a program does for the first time takes it several times as long: its code has to be compiled. One that waits for
 * its run executes runs of nothing meanwhile, in a State of its own with a dbt that only prints, and forgets them.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Envelope } from "../core/envelope.ts";
import { dbtProcess } from "../dbt/dbt-process.ts";
import type { DbtInvocation, DbtProcess } from "../dbt/port.ts";
import { snapshotId } from "../snapshot/entry.ts";
import { sha256Of } from "../snapshot/hash.ts";
import { openLocalState } from "../state/local/open.ts";
import type { State } from "../state/port.ts";
import type { NewRun } from "../state/runs.ts";
import { createStores, type Stores } from "../state/stores.ts";
import { executeRun } from "./execute-run.ts";
import { parseSettings } from "./settings.ts";
import { createStopSwitch } from "./stopping.ts";

const PROJECT = `name: one
version: "1.0"
profile: one
model-paths: ["models"]
vars: {a: 1}
`;

const PROFILES = `one:
  target: dev
  outputs:
    dev:
      type: none
      path: one.db
      threads: 1
      list: [1, "two", {three: ~}]
`;

const ENVELOPE = {
  ...{ profiles: PROFILES, env: { DBT_ENV_SECRET_A: "two" }, dotenv: {}, secretNames: [], files: [], args: null },
} satisfies Envelope;

const RUN: Omit<NewRun, "id" | "snapshotId"> = {
  ...{ command: ["run"], args: ["run", "--select", "one", "--vars", "{a: 1}"], verb: "run", access: "write" },
  ...{ requester: { id: "none", label: "none" }, workspace: "0".repeat(64), workspaceName: null, projectDir: "." },
  ...{ mode: "project", inputs: [], stateSources: [], warehouseFile: "one.db", profileFrom: "client", target: "dev" },
  options: { timeoutMs: null, cancelOnDisconnectMs: null, elementary: false, jobProfile: null },
  envNames: [],
};

const ROUNDS = 2;

/** Leaves nothing behind. Resolves to whether it worked: where it did not, the run will say why. */
export async function rehearse(): Promise<boolean> {
  let dataDir: string | undefined;
  let state: State | undefined;
  try {
    dataDir = mkdtempSync(join(tmpdir(), "dbt-job-"));
    state = await openLocalState({ dataDir, now: Date.now });
    const stores = createStores({ state, now: Date.now, snapshotId });
    for (let round = 1; round <= ROUNDS; round += 1) await once(dataDir, String(round), state, stores);
    return true;
  } catch {
    // Such as a temporary folder that is full.
    return false;
  } finally {
    await state?.close();
    if (dataDir !== undefined) rmSync(dataDir, { recursive: true, force: true });
  }
}

async function once(dataDir: string, id: string, state: State, stores: Stores): Promise<void> {
  const sha256 = sha256Of(PROJECT);
  const entries = [{ path: "dbt_project.yml", mode: "100644", sha256, size: PROJECT.length }] as const;
  const run = { ...RUN, id, snapshotId: snapshotId(entries) };
  await state.contents.put(sha256, Buffer.from(PROJECT));
  await stores.snapshots.put(run.snapshotId, entries);
  await state.envelopes.put(id, ENVELOPE);
  await stores.runs.create(run);
  const env = { DBT_JOB_RUN_ID: id, DBT_JOB_ROOT: "1", DBT_SERVER_DATA_DIR: dataDir };
  const result = await executeRun({
    ...{ settings: parseSettings(env), env, state, stores, stop: createStopSwitch(), now: Date.now },
    engine: { version: async () => "1", start: (invocation) => startNothing(dataDir, invocation) },
  });
  if (result.kind !== "done" || result.outcome.status !== "success") throw new Error("the run did not succeed");
}

/** A dbt that prints a line and makes a file; its streams are sockets, as those of a warm one. */
async function startNothing(folder: string, { cwd }: DbtInvocation): Promise<DbtProcess> {
  mkdirSync(join(cwd, "target"), { recursive: true });
  writeFileSync(join(cwd, "target", "manifest.json"), JSON.stringify({ a: "a".repeat(4096) }));
  const [stdout, stderr, events] = await Promise.all(["one\n", "", "{}\n"].map((text) => said(folder, text)));
  if (!stdout || !stderr || !events) throw new Error("there is no stream");
  const exited = Promise.resolve({ code: 0, signal: null });
  // There is no process that a signal could reach.
  return { ...dbtProcess({ pid: 0, exited, stdout, stderr, events }), signal: () => false };
}

let sockets = 0;

function said(folder: string, text: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    sockets += 1;
    const path = join(folder, String(sockets));
    const server = createServer((accepted) => {
      server.close();
      resolve(accepted);
    });
    server.once("error", reject);
    server.listen(path, () => connect(path).once("error", reject).end(text));
  });
}
