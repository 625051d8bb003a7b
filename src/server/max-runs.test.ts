/** `--max-runs` where several servers use one State and launch at the same moment. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { openGcpStates } from "../../test/gcp-states.ts";
import { newRun } from "../../test/new-run.ts";
import { until } from "../../test/programs.ts";
import type { Executor } from "../executors/port.ts";
import { snapshotId } from "../snapshot/entry.ts";
import { openLocalState } from "../state/local/open.ts";
import type { State } from "../state/port.ts";
import { createStores } from "../state/stores.ts";
import { createDispatcher, type Dispatcher } from "./dispatcher.ts";
import { createLaunches } from "./launches.ts";
import { createRunEndings } from "./run-endings.ts";

const MAX_RUNS = 2;

/** Servers that take their time to launch, and what they have launched. */
function startServers(context: TestContext, states: readonly State[], maxRuns = MAX_RUNS) {
  const now = Date.now;
  const launched: string[] = [];
  const failures: unknown[] = [];
  const executor: Executor = {
    kind: "cloud-run",
    async launch({ runId }) {
      launched.push(runId);
      await new Promise((resume) => setTimeout(resume, 20));
      return { kind: "cloud-run", id: `projects/p/locations/l/jobs/j/executions/${runId}` };
    },
    status: async () => ({ state: "alive" }),
    kill: async () => undefined,
    onExit: () => undefined,
    close: async () => undefined,
  };
  const servers = states.map((state): Dispatcher => {
    const stores = createStores({ state, now, snapshotId });
    const { executions } = stores;
    const launches = createLaunches({
      ...{ records: state.records, executions, serverId: randomUUID(), isAlone: false, now },
    });
    const endings = createRunEndings({ state, stores, launches, clearRoot: () => undefined });
    const onError = (error: unknown): void => void failures.push(error);
    return createDispatcher({
      ...{ stores, executor, launches, endings, maxRuns, isAlone: false, launchLeaseMs: 600_000, onError },
    });
  });
  context.after(() => Promise.all(servers.map((server) => server.close())));
  return { servers, launched, failures };
}

async function holds(context: TestContext, states: readonly State[]): Promise<void> {
  const [state] = states;
  assert.ok(state !== undefined);
  const { runs } = createStores({ state, now: Date.now, snapshotId });
  const { servers, launched, failures } = startServers(context, states);
  // Each in a workspace of its own, so that nothing but their number makes them wait.
  const all = await Promise.all(Array.from({ length: 6 }, () => runs.create(newRun())));
  const isUnended = async (id: string): Promise<boolean> => (await runs.require(id)).finishedAt === null;
  const inFlight = async (): Promise<number> => {
    const ids = await Promise.all(launched.map(isUnended));
    return ids.filter(Boolean).length;
  };
  const launch = (): Promise<unknown> => Promise.all(servers.map((server) => server.dispatch()));
  for (let ended = 0; ended < all.length; ended += 1) {
    const wanted = Math.min(MAX_RUNS, all.length - ended);
    await until(
      `${wanted} runs after ${ended} ended`,
      async () => {
        await launch();
        const count = await inFlight();
        assert.ok(count <= MAX_RUNS, `${count} runs at once`);
        return count === wanted;
      },
      60_000,
    );
    const oldest = launched[ended];
    assert.ok(oldest !== undefined);
    await runs.transition(oldest, "cancelled");
  }
  assert.equal(new Set(launched).size, all.length);
  assert.equal(launched.length, all.length, "each is launched once");
  assert.deepEqual(failures, []);
}

function gate() {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** A handle by which new records of one collection are long on their way. */
function slow(state: State, collection: string) {
  const [began, arrival] = [gate(), gate()];
  const create: State["records"]["create"] = async (where, key, data) => {
    if (where === collection) {
      began.open();
      await arrival.opened;
    }
    return state.records.create(where, key, data);
  };
  return { state: { ...state, records: { ...state.records, create } }, hasBegun: began.opened, arrive: arrival.open };
}

test("a launch whose claim is late gives way to one that nobody saw when it was begun", async (context) => {
  const dataDir = tempFolder("data");
  const open = () => openLocalState({ dataDir, now: Date.now });
  const [one, other, third] = [await open(), await open(), await open()];
  const lateClaim = slow(one, "executions");
  const latePost = slow(third, "runs");
  const { servers, launched, failures } = startServers(context, [lateClaim.state, other], 1);
  const runsOf = (state: State) => createStores({ state, now: Date.now, snapshotId }).runs;
  const [first, second] = [newRun(), newRun()];
  const posting = runsOf(latePost.state).create(first);
  await latePost.hasBegun;
  await runsOf(other).create(second);
  const launching = servers[0]?.dispatch();
  await lateClaim.hasBegun;
  latePost.arrive();
  await posting;
  await servers[1]?.dispatch();
  lateClaim.arrive();
  await launching;
  assert.deepEqual(launched, [first.id]);
  await runsOf(other).transition(first.id, "cancelled");
  await servers[1]?.dispatch();
  assert.deepEqual(launched, [first.id, second.id]);
  assert.deepEqual(failures, []);
  await Promise.all([one, other, third].map((state) => state.close()));
});

test("servers that launch at the same moment keep to it together", { timeout: 120_000 }, async (context) => {
  const dataDir = tempFolder("data");
  const states = await Promise.all(Array.from({ length: 3 }, () => openLocalState({ dataDir, now: Date.now })));
  await holds(context, states);
  await Promise.all(states.map((state) => state.close()));
});

test("so they do on Google Cloud", { timeout: 180_000 }, async (context) => {
  const opened = await openGcpStates(context, 2);
  if (opened === undefined) return;
  await holds(
    context,
    opened.map(({ state }) => state),
  );
});
