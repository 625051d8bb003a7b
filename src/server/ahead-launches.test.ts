import assert from "node:assert/strict";
import { test } from "node:test";
import { gate, project, recordOf, type Scene, scene, waitedFor } from "../../test/ahead-scene.ts";
import { until } from "../../test/programs.ts";
import { startService } from "../../test/service-fixture.ts";
import { AppError } from "../core/errors.ts";
import { withdrawAhead } from "../state/executions.ts";

test("a job is launched when its project's contents are missing, and is its run's when they are there", async () => {
  await scene(async ({ server, google }) => {
    const { refused, sendTo, post } = project();
    await refused(server);
    assert.equal(google.launched.length, 1, "launched with the refusal");
    const runId = await waitedFor(server, google);
    assert.equal((await recordOf(server, runId))?.ahead?.step, "offered");
    await refused(server);
    assert.equal(await server.stores.runs.get(runId), undefined, "there is no run before its project is there");
    await sendTo(server);
    const { run, created } = await post(server);
    assert.deepEqual([run.id, created, run.status], [runId, true, "pending"]);
    assert.match(run.execution?.name ?? "", /executions\/e1$/);
    assert.equal((await recordOf(server, runId))?.ahead, undefined, "the job may begin");
    const again = await post(server);
    assert.deepEqual([again.run.id, again.created], [runId, false]);
    assert.equal(google.launched.length, 1);
    assert.ok((await server.state.envelopes.take(runId)) !== undefined);
    assert.deepEqual([google.killed, server.failures], [[], []]);
  });
});

test("nothing is launched ahead for who would wait, for unknown profiles, without a key, or where jobs can't wait", async () => {
  await scene(async ({ server, google }) => {
    const first = project({ workspace: { name: "busy" } });
    await first.sendTo(server);
    const { run } = await first.post(server);
    assert.equal(google.launched.length, 1);
    await project({ workspace: { name: "busy" } }).refused(server);
    await project({ options: { jobProfile: "unknown" } }).refused(server);
    await project().refused(server, "snapshot_unknown", {});
    assert.deepEqual(google.launched, [run.id]);
    // A reader has a root of its own.
    await project({ workspace: { name: "busy" }, command: ["ls"] }).refused(server);
    assert.equal(google.launched.length, 2);
  });
  const local = await startService();
  try {
    const { refused, key } = project();
    await refused(local);
    assert.equal((await local.state.records.list("executions")).length, 0, key);
  } finally {
    await local.stop();
  }
});

test("a post that fails for good ends the job that was launched for it", async () => {
  await scene(async ({ server, google }) => {
    const { refused, sendTo, post } = project({ noWait: true, workspace: { name: "w" } });
    await refused(server);
    const runId = await waitedFor(server, google);
    await sendTo(server);
    const other = project({ workspace: { name: "w" } });
    await other.sendTo(server);
    const { run: busy } = await other.post(server);
    await refused(server, "workspace_busy");
    assert.equal(await recordOf(server, runId), undefined);
    await until("the job to be ended", () => google.killed.includes("e1"));
    await server.stores.runs.transition(busy.id, "cancelled");
    const { run } = await post(server);
    assert.notEqual(run.id, runId);
    assert.equal(google.launched.filter((id) => id === run.id).length, 1);
    assert.equal(google.killed.length, 1);
  });
});

test("a job that has given up, or has ended, is not its run's: that is launched as any other", async () => {
  await scene(async ({ server, google }) => {
    const given = project();
    await given.refused(server);
    assert.ok(await withdrawAhead(server.state.records, await waitedFor(server, google), ["offered"]));
    await given.sendTo(server);
    const { run } = await given.post(server);
    assert.equal(google.launched[1], run.id);
    assert.match(run.execution?.name ?? "", /e2$/);

    const crashed = project();
    await crashed.refused(server);
    const runId = await waitedFor(server, google);
    google.gone.add("projects/p/locations/l/jobs/j/executions/e3");
    await crashed.sendTo(server);
    const { run: second } = await crashed.post(server);
    assert.equal(second.id, runId);
    assert.match(second.execution?.name ?? "", /e4$/);
    assert.deepEqual(google.launched.slice(2), [runId, runId]);
    assert.deepEqual(server.failures, []);
  });
});

/** A run that is there before its executor has answered, which it does when it is let. */
async function postedBeforeTheAnswer({ server, google }: Scene) {
  const { opened, open } = gate();
  google.answersWith(() => opened);
  const { refused, sendTo, post } = project();
  await refused(server);
  await sendTo(server);
  return { ...(await post(server)), open };
}

test("the executor's answer may come after the run, or be no", async (context) => {
  await context.test("late", () =>
    scene(async ({ server, google }) => {
      const { run, open } = await postedBeforeTheAnswer({ server, google });
      assert.deepEqual([run.id, run.execution], [google.launched[0], null]);
      assert.deepEqual((await recordOf(server, run.id))?.ahead, undefined);
      open();
      await until("its execution", async () => (await recordOf(server, run.id))?.kind === "cloud-run");
      assert.equal((await recordOf(server, run.id))?.ahead, undefined);
      assert.equal(google.launched.length, 1);
    }),
  );
  await context.test("late, and nobody wants it any more", () =>
    scene(async ({ server, google }) => {
      const { opened, open } = gate();
      google.answersWith(() => opened);
      await project().refused(server);
      assert.ok(await withdrawAhead(server.state.records, google.launched[0] ?? "", ["offered"]));
      open();
      await until("its end", () => google.killed.includes("e1"));
    }),
  );
  await context.test("no, before the run: nothing is left of it", () =>
    scene(async ({ server, google }) => {
      google.answersWith(() => Promise.reject(new Error("no quota")));
      const { refused, sendTo, post } = project();
      await refused(server);
      const [runId = ""] = google.launched;
      await until("it to be forgotten", async () => (await recordOf(server, runId)) === undefined);
      google.answersWith(async () => undefined);
      await sendTo(server);
      const { run } = await post(server);
      assert.notEqual(run.id, runId);
      assert.equal(google.launched.length, 2);
      assert.deepEqual(server.failures.map(String), ["Error: no quota"]);
    }),
  );
  await context.test("no, after the run: it is launched as any other, and says why that fails", () =>
    scene(async ({ server, google }) => {
      const { run, open } = await postedBeforeTheAnswer({ server, google });
      google.answersWith(() => Promise.reject(new AppError("state_unavailable", "No quota.")));
      open(new Error("no quota"));
      await until("its end", async () => (await server.stores.runs.require(run.id)).status === "failed");
      const { reason, message } = await server.stores.runs.require(run.id);
      assert.deepEqual([reason, message], ["launch_failed", "No quota."]);
      assert.deepEqual(google.launched, [run.id, run.id]);
    }),
  );
});

test("posts of one key that come together are one run, with one job", async () => {
  await scene(async ({ server, google }) => {
    const { refused, sendTo, post } = project();
    await Promise.all([refused(server), refused(server)]);
    await waitedFor(server, google);
    assert.equal(google.launched.length, 1);
    await sendTo(server);
    const posted = await Promise.all([1, 2, 3].map(() => post(server)));
    const ids = new Set(posted.map(({ run }) => run.id));
    assert.equal(ids.size, 1);
    const [id = ""] = ids;
    assert.ok((await server.state.envelopes.take(id)) !== undefined, "its envelope is kept");
    assert.equal(google.launched.filter((each) => each === id).length, 1);
    // Where another post was faster than the one that the job was promised to, that job has nothing to wait for.
    if (google.launched[0] !== id) await until("the other's end", () => google.killed.includes("e1"));
    else assert.equal(google.launched.length, 1);
  });
});

test("any server may take the run, and only so many go on", { timeout: 60_000 }, async () => {
  const options = { settings: { maxRuns: 1 } };
  await scene(async ({ server, google }) => {
    const [first, second] = [project(), project()];
    const other = await startService({
      ...{ executor: google.executor, isAlone: false, dataDir: server.dataDir, ...options },
    });
    try {
      await first.refused(server);
      await project().refused(server);
      assert.equal(google.launched.length, 1, "who only asks gets no more containers than may run");
      await second.refused(other);
      const ids = [...google.launched];
      for (const id of ids) {
        assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        await until("the launch", async () => (await recordOf(server, id))?.kind === "cloud-run");
      }
      await Promise.all([first.sendTo(server), second.sendTo(other)]);
      const posted = await Promise.all([first.post(other), second.post(server)]);
      assert.deepEqual(
        posted.map(({ run }) => run.id),
        ids,
      );
      const isLetGo = async (id: string) => (await recordOf(server, id))?.ahead === undefined;
      const begun = await until("one to begin", async () => {
        const found = (await Promise.all(ids.map(isLetGo))).indexOf(true);
        return found >= 0 && { id: ids[found] ?? "", waiting: ids[1 - found] ?? "" };
      });
      assert.equal(await isLetGo(begun.waiting), false);
      assert.equal((await other.send({ url: `/api/v1/runs/${begun.waiting}` })).json().execution, null);
      await server.stores.runs.transition(begun.id, "cancelled");
      await until("the other's turn", () => isLetGo(begun.waiting));
      assert.equal(google.launched.length, 2);
      assert.deepEqual([...server.failures, ...other.failures], []);
    } finally {
      await other.stop();
    }
  }, options);
});
