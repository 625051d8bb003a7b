import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { newRun } from "../../test/new-run.ts";
import { snapshotId } from "../snapshot/entry.ts";
import type { Ahead } from "../state/executions.ts";
import { openLocalState } from "../state/local/open.ts";
import { createStores } from "../state/stores.ts";
import { awaitRun } from "./await-run.ts";
import { claimRun } from "./claim.ts";
import { createStopSwitch, stopOnSignal } from "./stopping.ts";

const state = await openLocalState({ dataDir: tempFolder("data"), now: Date.now });
const stores = createStores({ state, now: Date.now, snapshotId });
after(() => state.close());

const EXECUTION = { kind: "cloud-run", id: "e", launchedAtMs: 1 } as const;
const put = (runId: string, step?: Ahead["step"]) =>
  state.records.put("executions", runId, { ...EXECUTION, ...(step && { ahead: { step, sinceMs: 1 } }) });
const recordOf = async (runId: string) => (await state.records.get("executions", runId))?.data;

function waiting(waitMs = 30_000) {
  const runId = randomUUID();
  const stop = createStopSwitch();
  const params = { runId, records: state.records, stop, waitMs, askEveryMs: 1_000, say: () => undefined };
  return { runId, stop, params, begin: () => awaitRun(params) };
}

test("a launch as any other, or one that is not written down yet, waits for nothing", { timeout: 20_000 }, async () => {
  const { runId, begin } = waiting();
  assert.deepEqual(await begin(), { kind: "begin", hasWaited: false });
  await put(runId);
  assert.deepEqual(await begin(), { kind: "begin", hasWaited: false });
});

test("one made ahead waits until its run has its turn, and claims it", { timeout: 20_000 }, async () => {
  const { runId, begin } = waiting();
  await put(runId, "offered");
  const claim = claimRun({ runId, root: undefined, ...stores, awaited: begin() });
  await put(runId, "promised");
  await stores.runs.create(newRun({ id: runId }));
  await put(runId, "taken");
  await new Promise((resume) => setTimeout(resume, 50));
  assert.equal((await stores.runs.require(runId)).status, "pending", "a server still counts the places");
  await put(runId);
  assert.equal((await claim).claimed, true);
  assert.equal((await stores.runs.require(runId)).status, "running");
});

test("it gives up when the record goes, and then there may be no run at all", { timeout: 20_000 }, async () => {
  const { runId, begin } = waiting();
  await put(runId, "offered");
  const claim = claimRun({ runId, root: undefined, ...stores, awaited: begin() });
  await state.records.remove("executions", runId);
  assert.deepEqual(await claim, { claimed: false, why: "its run was given up before it was there" });
  const late = await claimRun({ runId, root: undefined, ...stores, awaited: begin() });
  assert.deepEqual(late, { claimed: false, why: "there is no such run" });
});

test("it gives up when nobody comes, and when it is told to end, and leaves no record", {
  timeout: 20_000,
}, async () => {
  const { runId, begin } = waiting(20);
  await put(runId, "offered");
  assert.deepEqual(await begin(), { kind: "give-up", why: "its run did not come within 0 s" });
  assert.equal(await recordOf(runId), undefined);

  const told = waiting();
  await put(told.runId, "promised");
  const awaited = told.begin();
  stopOnSignal(told.stop, "SIGTERM");
  assert.deepEqual(await awaited, { kind: "give-up", why: "The job was told to end (SIGTERM)." });
  assert.equal(await recordOf(told.runId), undefined);
});

test("who lets it go at that moment is not overruled", { timeout: 20_000 }, async () => {
  const { runId, stop, params } = waiting();
  await put(runId, "offered");
  const { records } = state;
  const remove: typeof records.remove = async (collection, key, version) => {
    await put(runId);
    return records.remove(collection, key, version);
  };
  stopOnSignal(stop, "SIGTERM");
  const awaited = await awaitRun({ ...params, records: { ...records, remove } });
  assert.deepEqual(awaited, { kind: "begin", hasWaited: true });
  assert.deepEqual(await recordOf(runId), EXECUTION);
});
