/** What goes wrong around launches ahead must not cost the run, nor keep its post. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gate, project, recordOf, scene, waitedFor } from "../../test/ahead-scene.ts";
import { until } from "../../test/programs.ts";

test("a job that is let go, but had died, costs its run nothing; the next one counts", {
  timeout: 60_000,
}, async () => {
  await scene(async ({ server, google }) => {
    const { refused, sendTo, post } = project();
    await refused(server);
    const runId = await waitedFor(server, google);
    await sendTo(server);
    await post(server);
    assert.equal((await recordOf(server, runId))?.ahead, undefined, "it was let go");
    google.gone.add("projects/p/locations/l/jobs/j/executions/e1");
    const second = await until("another launch", async () => {
      const record = await recordOf(server, runId);
      return record?.id.endsWith("e2") === true && record;
    });
    assert.equal(second.wasAhead, undefined);
    assert.equal((await server.stores.runs.require(runId)).status, "pending");
    google.gone.add(second.id);
    await until("its end", async () => (await server.stores.runs.require(runId)).reason === "launch_failed");
    assert.deepEqual(google.launched, [runId, runId]);
  });
});

test("a post with another job profile does not get the container of this one", async () => {
  await scene(async ({ server, google }) => {
    const { refused, key } = project({ options: { jobProfile: "big" } });
    await refused(server);
    const waited = await waitedFor(server, google);
    const other = project({}, key);
    await other.sendTo(server);
    const { run } = await other.post(server);
    assert.notEqual(run.id, waited);
    assert.deepEqual(google.launched, [waited, run.id]);
  });
});

test("a post that fails after its run was written leaves that its job", async () => {
  const { google } = await scene(
    async ({ server, google }) => {
      const { refused, sendTo, post } = project();
      await refused(server);
      const runId = await waitedFor(server, google);
      await sendTo(server);
      const { runs } = server.stores;
      const { create } = runs;
      Object.assign(runs, {
        async create(...args: Parameters<typeof create>) {
          await create(...args);
          throw new Error("the answer was lost");
        },
      });
      await assert.rejects(post(server));
      assert.equal((await runs.require(runId)).status, "pending");
      return { google };
    },
    { started: false },
  );
  assert.deepEqual(google.killed, []);
});

test("a refusal reads little, and waits for it only so long", { timeout: 60_000 }, async () => {
  await scene(
    async ({ server, google }) => {
      const { runs } = server.stores;
      const { list } = runs;
      const { opened, open } = gate();
      let lists = 0;
      Object.assign(runs, {
        async list(...args: Parameters<typeof list>) {
          lists += 1;
          await opened;
          return list(...args);
        },
      });
      await project().refused(server);
      assert.deepEqual(google.launched, [], "State has not answered as yet");
      open();
      await until("the launch", () => google.launched.length === 1);
      const before = lists;
      await project().refused(server);
      assert.deepEqual([google.launched.length, lists], [1, before], "who may launch nothing more does not ask");
    },
    { started: false, settings: { maxRuns: 1 } },
  );
});

test("a launch ahead writes its record three times more than another", async () => {
  await scene(async ({ server, google }) => {
    const { records } = server.state;
    let writes = 0;
    for (const name of ["create", "replace", "put"] as const) {
      const write = records[name].bind(records) as (collection: string, ...rest: unknown[]) => Promise<unknown>;
      Object.assign(records, {
        [name]: async (collection: string, ...rest: unknown[]) => {
          const done = await write(collection, ...rest);
          if (collection === "executions" && (name === "put" || done !== undefined)) writes += 1;
          return done;
        },
      });
    }
    const ordinary = project();
    await ordinary.sendTo(server);
    await ordinary.post(server);
    assert.equal(writes, 2);
    const ahead = project();
    await ahead.refused(server);
    await waitedFor(server, google);
    await ahead.sendTo(server);
    await ahead.post(server);
    assert.equal(writes, 2 + 5);
  });
});
