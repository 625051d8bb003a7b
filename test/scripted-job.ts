/** Stands in for dbt-job in tests of the server: does to State what a job does, as its run's `--vars` say. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { snapshotId } from "../src/snapshot/entry.ts";
import { openLocalState } from "../src/state/local/open.ts";
import { createStores } from "../src/state/stores.ts";
import type { Script } from "./service-fixture.ts";

const TICK_MS = 20;
const env = (name: string): string => process.env[name] ?? "";
const runId = env("DBT_JOB_RUN_ID");
const root = env("DBT_JOB_ROOT") === "2" ? 2 : 1;
const pause = (): Promise<void> => new Promise((resume) => setTimeout(resume, TICK_MS));

// Nothing is left of a test that failed.
setTimeout(() => process.exit(99), 120_000).unref();
const now = Date.now;
const state = await openLocalState({ dataDir: env("DBT_SERVER_DATA_DIR"), now });
const { runs, leases, cancellations, heartbeats } = createStores({ state, now, snapshotId });
const { command, ...pending } = await runs.require(runId);
const script = JSON.parse(command[2] ?? "{}") as Script;
if (script.dies === "before") {
  console.error("the scripted job fell over");
  process.exit(1);
}
const turn = await leases.acquire(pending, root, 30_000);
if (turn.kind !== "acquired" || !(await runs.transition(runId, "running")).moved) process.exit(0);
await heartbeats.beat(runId, { pid: process.pid, startTime: null });
await state.envelopes.take(runId);

const log = await state.logs.openWriter(runId, "log");
const say = (channel: "out" | "job", text: string): Promise<void> =>
  log.append([{ channel, timeMs: now(), bytes: Buffer.from(text) }]);
await say("out", `root ${root}\n`);
for (let line = 1; line <= (script.lines ?? 0); line += 1) await say("out", `line ${line}\n`);
const isCancelled = async (): Promise<boolean> =>
  script.stubborn !== true && (await cancellations.get(runId)) !== undefined;
while (script.until !== undefined && !existsSync(script.until) && !(await isCancelled())) await pause();
const profiles = join(env("DBT_SERVER_DATA_DIR"), "workspaces", pending.workspace, String(root), "profiles");
mkdirSync(profiles, { recursive: true });
writeFileSync(join(profiles, "profiles.yml"), "as the job leaves it when it is cut off");
if (script.dies === "during") process.kill(process.pid, "SIGKILL");

const exitCode = script.exitCode ?? 0;
const dbtFinished = { exitCode, dbtOffset: log.offset, targetPack: false, at: new Date().toISOString() };
await runs.patch(runId, { dbtFinished });
if (script.dies === "after") process.kill(process.pid, "SIGKILL");
await say("job", "END JOB\n");
const { finalOffset, sha256 } = await log.seal();
const status = (await isCancelled()) ? "cancelled" : exitCode === 0 ? "success" : "failed";
const reason = status === "failed" ? ("dbt_failed" as const) : null;
await runs.transition(runId, status, { reason, exitCode, logSize: finalOffset, logSha256: sha256 });
await state.close();
