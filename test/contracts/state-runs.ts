import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AppError } from "../../src/core/errors.ts";
import type { Run } from "../../src/core/run.ts";
import { snapshotId } from "../../src/snapshot/entry.ts";
import { createStores } from "../../src/state/stores.ts";
import { newRun } from "../new-run.ts";
import type { HarnessOf } from "./state-contract.ts";
import { storesUnderTest } from "./state-stores-data.ts";
import { codeIs, newRunId, until } from "./state-test-data.ts";

const HOUR_MS = 60 * 60 * 1000;

export function runsContract(harnessOf: HarnessOf): void {
  const { stores, created } = storesUnderTest(harnessOf);

  describe("runs", () => {
    test("are made pending, each with a number of its own", async () => {
      const runs = await Promise.all(Array.from({ length: 5 }, () => created()));
      assert.equal(new Set(runs.map(({ number }) => number)).size, 5);
      const [run] = runs;
      assert.ok(run);
      assert.equal(run.status, "pending");
      assert.deepEqual(await stores().runs.get(run.id), run);
      assert.equal(await stores().runs.get(newRunId()), undefined);
      await assert.rejects(stores().runs.require(newRunId()), codeIs("run_not_found"));
    });

    test("an idempotency key makes a repeated post the same run, another fingerprint a conflict", async () => {
      const { runs } = stores();
      const requester = { id: newRunId(), label: "ada" };
      const post = (key: string, fingerprint: string) => runs.create(newRun({ requester }), { key, fingerprint });
      const first = await post("k", "f");
      assert.ok(first.kind === "created");
      const again = await post("k", "f");
      assert.ok(again.kind === "same");
      assert.deepEqual(again.run, first.run);
      assert.deepEqual(await post("k", "other"), { kind: "conflict", runId: first.run.id });
      assert.equal((await post("k2", "other")).kind, "created");
      // Keys are per requester, and stand for a day.
      assert.equal((await runs.create(newRun(), { key: "k", fingerprint: "other" })).kind, "created");
      const nextDay = stores(() => Date.now() + 25 * HOUR_MS).runs;
      assert.equal((await nextDay.create(newRun({ requester }), { key: "k", fingerprint: "other" })).kind, "created");
    });

    test("of racing posts with one key one makes the run", async () => {
      const requester = { id: newRunId(), label: "ada" };
      const creations = await Promise.all(
        Array.from({ length: 6 }, () => stores().runs.create(newRun({ requester }), { key: "k", fingerprint: "f" })),
      );
      assert.equal(creations.filter(({ kind }) => kind === "created").length, 1);
      assert.equal(new Set(creations.map((creation) => (creation.kind === "conflict" ? "" : creation.run.id))).size, 1);
    });

    test("follow the table, and never leave a terminal status", async () => {
      const { runs } = stores();
      const { id } = await created();
      assert.equal((await runs.transition(id, "success")).moved, false);
      const started = await runs.transition(id, "running", { dbtVersion: "1.11.0" });
      assert.ok(started.moved && started.run.startedAt !== null);
      const ended = await runs.transition(id, "failed", { reason: "dbt_failed", exitCode: 1 });
      assert.ok(ended.moved && ended.run.finishedAt !== null);
      for (const status of ["running", "success", "cancelled", "pending"] as const) {
        const { moved, run } = await runs.transition(id, status, { exitCode: 0 });
        assert.equal(moved, false);
        assert.deepEqual(run, ended.run);
      }
      await assert.rejects(runs.transition(newRunId(), "running"), codeIs("run_not_found"));
    });

    test("of racing transitions one moves it; racing patches are all kept", async () => {
      const { runs } = stores();
      const { id } = await created();
      const moves = await Promise.all([
        runs.transition(id, "running"),
        runs.transition(id, "running"),
        runs.transition(id, "running"),
      ]);
      assert.equal(moves.filter(({ moved }) => moved).length, 1);
      const names = Array.from({ length: 5 }, (_, number) => `warning ${number}`);
      await Promise.all(names.map((name) => runs.patch(id, (run) => ({ warnings: [...run.warnings, name] }))));
      assert.deepEqual([...((await runs.get(id))?.warnings ?? [])].sort(), names);
      assert.equal((await runs.patch(id, { logSize: 7 })).logSize, 7);
    });

    test("list filters, newest first, in pages", async () => {
      const { runs } = stores();
      const requester = { id: newRunId(), label: "ada" };
      const workspace = newRunId();
      const made: Run[] = [];
      for (const verb of ["run", "test", "run", "build"]) made.push(await created({ requester, workspace, verb }));
      await created({ workspace });
      await created({ requester });
      const [first, second, third, fourth] = made.map(({ id }) => id);
      assert.ok(first && second && third && fourth);
      await runs.transition(second, "cancelled");
      await runs.transition(third, "running");
      const idsOf = async (filter: Parameters<typeof runs.list>[0]) => (await runs.list(filter)).map(({ id }) => id);
      const mine = { requesterId: requester.id, workspace };
      assert.deepEqual(await idsOf(mine), [fourth, third, second, first]);
      assert.deepEqual(await idsOf({ ...mine, statuses: ["pending"] }), [fourth, first]);
      assert.deepEqual(await idsOf({ ...mine, statuses: ["pending", "running"] }), [fourth, third, first]);
      assert.deepEqual(await idsOf({ ...mine, statuses: ["pending", "running"], limit: 2 }), [fourth, third]);
      assert.deepEqual(await idsOf({ ...mine, verb: "run" }), [third, first]);
      assert.deepEqual(await idsOf({ ...mine, verb: "run", statuses: ["failed"] }), []);
      const before = made[2]?.number;
      assert.ok(before);
      assert.deepEqual(await idsOf({ ...mine, before, limit: 1 }), [second]);
      await assert.rejects(runs.list({ since: "yesterday" }), codeIs("bad_argument"));
    });

    test("list filters by time", async () => {
      const requester = { id: newRunId(), label: "ada" };
      const ids: string[] = [];
      const start = Date.now();
      for (const hours of [0, 1, 2, 3]) ids.push((await created({ requester }, () => start + hours * HOUR_MS)).id);
      const at = (hours: number) => new Date(start + hours * HOUR_MS).toISOString();
      const idsOf = async (filter: { since?: string; until?: string }) =>
        (await stores().runs.list({ requesterId: requester.id, ...filter })).map(({ id }) => id);
      assert.deepEqual(await idsOf({ since: at(2) }), [ids[3], ids[2]]);
      assert.deepEqual(await idsOf({ until: at(2) }), [ids[1], ids[0]]);
      assert.deepEqual(await idsOf({ since: at(1), until: at(3) }), [ids[2], ids[1]]);
      assert.deepEqual(await idsOf({ until: at(-1) }), []);
    });

    test("resolve takes an id, a prefix, a number and latest", async () => {
      const { runs } = stores();
      const tail = newRunId().slice(8);
      const requester = { id: newRunId(), label: "ada" };
      const workspace = newRunId();
      const scope = { requesterId: requester.id, workspace, all: false };
      const one = await created({ requester, workspace, id: `abcd1234${tail}` });
      const two = await created({ requester, workspace, id: `abcd5678${tail}` });
      const elsewhere = await created({ requester });
      for (const [ref, id] of [
        [one.id, one.id],
        [one.id.toUpperCase(), one.id],
        ["abcd1", one.id],
        [`abcd5678${tail.slice(0, 3)}`, two.id],
        [String(one.number), one.id],
        ["latest", two.id],
      ] as const) {
        assert.equal((await runs.resolve(ref, scope)).id, id, ref);
      }
      assert.equal((await runs.resolve("latest", { ...scope, workspace: null })).id, elsewhere.id);
      await assert.rejects(runs.resolve("abcd", scope), (error: unknown) => {
        assert.ok(codeIs("run_ambiguous")(error) && error instanceof AppError);
        assert.deepEqual(error.details?.["candidates"], [one.id, two.id]);
        return true;
      });
      for (const ref of ["", "abc", "1234567", "abcd9", newRunId(), "../x", "läst", "'; --", "x".repeat(10_000)]) {
        await assert.rejects(runs.resolve(ref, scope), codeIs("run_not_found"), ref);
      }
      await assert.rejects(runs.resolve("latest", { ...scope, requesterId: newRunId() }), codeIs("run_not_found"));
      // Anyone's: made by nobody else meanwhile.
      assert.equal((await runs.resolve("latest", { ...scope, requesterId: newRunId(), all: true })).id, elsewhere.id);
      for (const run of [one, two]) await runs.remove(run.id);
    });

    test("a number is never given twice, also where the latest run went", async () => {
      const { runs } = stores();
      const { id, number } = await created();
      await runs.remove(id);
      assert.ok((await created()).number > number);
    });

    test("watch tells of a transition", async () => {
      const { id } = await created();
      let calls = 0;
      const stop = stores().runs.watch(id, () => {
        calls += 1;
      });
      await createStores({ state: await harnessOf().reopen(), now: Date.now, snapshotId }).runs.transition(
        id,
        "running",
      );
      await until("the transition", () => calls >= 1);
      stop();
    });
  });

  describe("beside a run", () => {
    test("the first cancellation counts", async () => {
      const { cancellations } = stores();
      const runId = newRunId();
      assert.equal(await cancellations.get(runId), undefined);
      let calls = 0;
      const stop = cancellations.watch(runId, () => {
        calls += 1;
      });
      const first = await cancellations.request(runId, "ada", "Ctrl-C");
      await until("the cancellation", () => calls >= 1);
      stop();
      assert.deepEqual(await cancellations.request(runId, "bob", null), first);
      assert.deepEqual(await cancellations.get(runId), first);
    });

    test("heartbeats, followers and executions", async () => {
      const { heartbeats, followers, executions } = stores(() => 1000);
      const runId = newRunId();
      await heartbeats.beat(runId, { pid: 7, startTime: "x" });
      assert.deepEqual(await heartbeats.get(runId), { atMs: 1000, pid: 7, startTime: "x" });
      assert.equal(await followers.lastSeenAtMs(runId), undefined);
      await followers.seen(runId);
      assert.equal(await followers.lastSeenAtMs(runId), 1000);
      await executions.put(runId, { kind: "local", id: "7:x" });
      assert.deepEqual(await executions.get(runId), { kind: "local", id: "7:x", launchedAtMs: 1000 });
    });
  });
}
