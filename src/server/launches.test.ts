import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { snapshotId } from "../snapshot/entry.ts";
import { type Ahead, EXECUTIONS } from "../state/executions.ts";
import { openLocalState } from "../state/local/open.ts";
import { createStores } from "../state/stores.ts";
import { createLaunches, type LaunchRecord } from "./launches.ts";

/** Servers of one State, and a clock that the test moves. */
async function servers(context: TestContext) {
  const state = await openLocalState({ dataDir: tempFolder("data"), now: Date.now });
  context.after(() => state.close());
  let nowMs = 1_000_000;
  const now = (): number => nowMs;
  const { executions } = createStores({ state, now, snapshotId });
  const launches = (serverId: string) =>
    createLaunches({ records: state.records, executions, serverId, isAlone: false, now });
  return {
    ...{ now, one: launches("one"), other: launches("other") },
    passes: (ms: number) => {
      nowMs += ms;
    },
    launchedAhead: (runId: string, step: Ahead["step"], kind: "cloud-run" | "launching" = "cloud-run") =>
      state.records.put(EXECUTIONS, runId, { kind, id: "e", launchedAtMs: now(), ahead: { step, sinceMs: now() } }),
    recordOf: async (runId: string) => (await state.records.get<LaunchRecord>(EXECUTIONS, runId))?.data,
  };
}

const MINUTE_MS = 60_000;

test("a launch that was made ahead is adopted by one server, and shown when its job is let go", async (context) => {
  const { one, other, passes, now, launchedAhead, recordOf } = await servers(context);
  await launchedAhead("r", "promised");
  assert.deepEqual([await one.isUnderWay("r"), await one.get("r")], [false, undefined]);
  passes(MINUTE_MS);
  const claims = await Promise.all([one.claim("r"), other.claim("r")]);
  assert.deepEqual(claims.map(({ kind }) => kind).sort(), ["adopted", "no"]);
  assert.deepEqual([await other.isUnderWay("r"), await other.get("r")], [true, undefined]);
  assert.equal((await recordOf("r"))?.ahead?.step, "taken");
  assert.equal(await one.letGo("r"), true);
  assert.deepEqual(await one.get("r"), { kind: "cloud-run", id: "e", launchedAtMs: now(), wasAhead: true });
  assert.equal((await other.claim("r")).kind, "no");
  assert.equal(await one.letGo("gone"), false);
});

test("one that is given back may be adopted again", async (context) => {
  const { one, other, launchedAhead, recordOf } = await servers(context);
  await launchedAhead("r", "promised");
  assert.equal((await one.claim("r")).kind, "adopted");
  await one.giveBack("r");
  assert.deepEqual([(await recordOf("r"))?.ahead?.step, await other.isUnderWay("r")], ["promised", false]);
  assert.equal((await other.claim("r")).kind, "adopted");
  await other.letGo("r");
  await one.giveBack("r");
  assert.equal((await recordOf("r"))?.ahead, undefined, "what has begun is not given back");
});

test("what a server that is gone has taken is another's after a while; what is old is launched anew", async (context) => {
  const { one, other, passes, launchedAhead } = await servers(context);
  await launchedAhead("taken", "promised");
  await one.claim("taken");
  await launchedAhead("old", "promised");
  passes(2 * MINUTE_MS);
  assert.equal((await other.claim("taken")).kind, "adopted");
  passes(14 * MINUTE_MS);
  assert.equal((await other.claim("old")).kind, "claimed");
});

test("nobody knows whether Google was asked for it: a launch ahead is waited for only a moment", async (context) => {
  const { one, other, passes, launchedAhead } = await servers(context);
  await launchedAhead("promised", "promised", "launching");
  await launchedAhead("let-go", "promised", "launching");
  assert.equal((await one.claim("let-go")).kind, "adopted");
  await one.letGo("let-go");
  passes(10_000);
  assert.equal(await other.isUnderWay("let-go"), true);
  passes(6_000);
  assert.equal(await other.isUnderWay("let-go"), false);
  assert.equal((await other.claim("let-go")).kind, "claimed");
  assert.equal((await other.claim("promised")).kind, "claimed");
  passes(16_000);
  assert.equal(await one.isUnderWay("promised"), true, "it is a launch as any other now");
});

test("what is withdrawn or forgotten may be another's by now", async (context) => {
  const { one, other, launchedAhead, recordOf } = await servers(context);
  await launchedAhead("r", "promised");
  assert.equal((await one.claim("r")).kind, "adopted");
  await one.withdraw("r");
  assert.equal(await recordOf("r"), undefined);
  assert.equal((await other.claim("r")).kind, "claimed");
  await one.withdraw("r");
  assert.equal((await recordOf("r"))?.id, "other");

  await launchedAhead("s", "promised");
  await one.claim("s");
  await one.letGo("s");
  const launch = await one.get("s");
  assert.ok(launch?.wasAhead);
  await one.forgetLetGo("s", { ...launch, id: "earlier" });
  assert.equal((await recordOf("s"))?.id, "e");
  await one.forgetLetGo("s", launch);
  assert.equal(await recordOf("s"), undefined);
  await one.claim("s");
  await one.done("s", { kind: "cloud-run", id: "e" });
  await one.forgetLetGo("s", launch);
  assert.equal((await recordOf("s"))?.wasAhead, undefined, "one as any other is kept");
  assert.equal((await recordOf("s"))?.id, "e");
});
