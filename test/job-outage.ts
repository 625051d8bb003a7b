/** A whole job that reaches neither Firestore nor Cloud Storage for a while, dbt's end included; shared by a short and a long test. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { EMPTY_ENVELOPE } from "../src/core/envelope.ts";
import { executeRun } from "../src/job/execute-run.ts";
import { createStopSwitch } from "../src/job/stopping.ts";
import { snapshotId } from "../src/snapshot/entry.ts";
import { readAll } from "../src/state/read-all.ts";
import { createStores } from "../src/state/stores.ts";
import { containerSettings } from "./container-settings.ts";
import { tempFolder } from "./folders.ts";
import { openGcpStates } from "./gcp-states.ts";
import { newRun } from "./new-run.ts";
import { until } from "./programs.ts";
import { scriptedDbt } from "./scripted-dbt.ts";

const LINES = 300;
const PRINTS_FOR_MS = 4_000;

/** Cuts the job off while dbt prints; dbt ends before State is back. */
export async function jobOutage(context: TestContext, cutMs: number): Promise<void> {
  const [job, server] = (await openGcpStates(context, 2, 1)) ?? [];
  if (job === undefined || server === undefined) return;
  const storesOf = ({ state }: typeof job) => createStores({ state, now: Date.now, snapshotId });
  const { runs, snapshots, leases, artifacts } = storesOf(server);
  const run = newRun({ snapshotId: snapshotId([]), profileFrom: "none", target: null });
  const runId = run.id;
  await snapshots.put(run.snapshotId, []);
  await server.state.envelopes.put(runId, { ...EMPTY_ENVELOPE, args: null, files: [], secretNames: [] });
  await runs.create(run);
  assert.equal((await leases.acquire(await runs.require(runId), 1, 60_000)).kind, "acquired");

  const dataDir = tempFolder("container");
  const settings = containerSettings({ runId, dataDir }, { projectId: "p", bucket: "b" });
  const ended = executeRun({
    ...{ settings, env: {}, state: job.state, stores: storesOf(job), stop: createStopSwitch(), now: Date.now },
    engine: scriptedDbt({ lines: LINES, forMs: PRINTS_FOR_MS }),
  });
  const logged = async (): Promise<string> => {
    const { segments } = await server.state.logs.read(runId, "log", 0, 1_000_000);
    return Buffer.concat(segments.map(({ bytes }) => bytes)).toString();
  };
  await until("the first lines", async () => (await logged()).includes("1 of 300 OK"), 60_000);

  for (const proxy of job.proxies) proxy.cut();
  await new Promise((resume) => setTimeout(resume, cutMs));
  assert.equal((await runs.require(runId)).status, "running");
  for (const proxy of job.proxies) proxy.restore();
  const restoredAtMs = performance.now();
  assert.equal((await ended).kind, "done");
  context.diagnostic(`the run ended ${Math.round(performance.now() - restoredAtMs)} ms after the outage`);

  const after = await runs.require(runId);
  assert.deepEqual([after.status, after.exitCode, after.warnings], ["success", 0, []], after.message ?? "");
  const lines = (await logged()).split("\n");
  const numbers = lines.flatMap((line) => / (\d+) of 300 OK created/.exec(line)?.[1] ?? []).map(Number);
  assert.deepEqual(
    numbers,
    Array.from({ length: LINES }, (_, index) => index + 1),
  );
  assert.equal(lines.at(-2), "END JOB");
  assert.equal(after.logSize, Buffer.byteLength(lines.join("\n")));
  const results = await readAll((await artifacts.open(runId, "target/run_results.json")).content);
  assert.ok(results.length > 50_000);
  assert.equal(await leases.holder("w", 1), undefined);
}
