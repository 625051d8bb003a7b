import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RunStatus } from "../../src/core/run.ts";
import { snapshotId } from "../../src/snapshot/entry.ts";
import { EXECUTIONS } from "../../src/state/executions.ts";
import { gc, SCHEDULES } from "../../src/state/gc.ts";
import { DEFAULT_RETENTION } from "../../src/state/retention.ts";
import type { NewRun } from "../../src/state/runs.ts";
import { newRun } from "../new-run.ts";
import type { HarnessOf } from "./state-contract.ts";
import { entryOf, packOf, storesUnderTest } from "./state-stores-data.ts";
import { newFile, newRunId, segment, type TestFile } from "./state-test-data.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

export function retentionContract(harnessOf: HarnessOf): void {
  const state = () => harnessOf().state;
  const { stores } = storesUnderTest(harnessOf);
  const keep = { ...DEFAULT_RETENTION, runsCount: 0 };
  /** A sweep as it would be in so many days. */
  const sweep = (days: number, dryRun = false) => gc(state(), { now: () => Date.now() + days * DAY_MS, keep, dryRun });

  async function madeSnapshot(files: readonly TestFile[]): Promise<string> {
    const entries = files.map((file, number) => entryOf(`f${number}`, file));
    const id = snapshotId(entries);
    await stores().snapshots.put(id, entries);
    for (const { sha256, bytes } of files) await state().contents.put(sha256, bytes);
    return id;
  }

  async function madeRun(path: readonly RunStatus[], changes: Partial<NewRun> = {}): Promise<string> {
    const { runs, artifacts } = stores();
    const { id } = newRun();
    await runs.create(newRun({ ...changes, id }), { key: id, fingerprint: "f" });
    for (const status of path) await runs.transition(id, status);
    const writer = await state().logs.openWriter(id, "log");
    await writer.append([segment("line\n")]);
    await writer.close();
    const { pack: content, index } = packOf({ "target/manifest.json": "{}" });
    await artifacts.putPack({ runId: id, name: "target", content, index, manifestPath: "target/manifest.json" });
    return id;
  }

  describe("retention", () => {
    test("old runs go with all that is theirs; what is named stays", async () => {
      const shared = newFile();
      const files = { old: newFile(), active: newFile(), scheduled: newFile(), input: newFile(), loose: newFile() };
      const oldSnapshot = await madeSnapshot([files.old, shared]);
      const activeSnapshot = await madeSnapshot([files.active, shared]);
      const scheduledSnapshot = await madeSnapshot([files.scheduled]);
      for (const file of [files.input, files.loose]) await state().contents.put(file.sha256, file.bytes);
      const old = await madeRun(["running", "failed"], { snapshotId: oldSnapshot, target: "old" });
      const source = await madeRun(["running", "failed"], { target: "source" });
      const active = await madeRun(["running"], {
        snapshotId: activeSnapshot,
        inputs: [{ path: "state/manifest.json", sha256: files.input.sha256, size: 100 }],
        stateSources: [{ path: "@outside/run-1", runId: source }],
      });
      const target = `t${newRunId()}`;
      const superseded = await madeRun(["running", "success"], { target });
      const latest = await madeRun(["running", "success"], { target });
      const schedule = newRunId();
      await state().records.create(SCHEDULES, schedule, { snapshotId: scheduledSnapshot });
      await stores().cancellations.request(old, "ada", null);
      const hashes = Object.values(files).map(({ sha256 }) => sha256);

      // All of it is young.
      await sweep(0);
      for (const id of [old, source, active, superseded, latest]) assert.ok(await stores().runs.get(id));
      assert.deepEqual(await state().contents.missing(hashes), []);

      // A dry run counts and leaves everything.
      const dry = await sweep(40, true);
      assert.ok(dry.runs.count >= 2 && dry.snapshots >= 1 && dry.contents.bytes >= 200 && dry.idempotencyKeys >= 5);
      assert.ok(await stores().runs.get(old));
      assert.deepEqual(await state().contents.missing(hashes), []);

      const report = await sweep(40);
      assert.deepEqual(
        { ...report, envelopes: null, uploads: null, dryRun: true },
        { ...dry, runs: report.runs, blobs: report.blobs },
      );
      assert.deepEqual([report.runs, report.blobs], [dry.runs, dry.blobs]);
      for (const id of [old, superseded]) assert.equal(await stores().runs.get(id), undefined);
      for (const id of [source, active, latest]) assert.ok(await stores().runs.get(id));
      assert.deepEqual(await state().contents.missing([...hashes, shared.sha256]), [
        files.old.sha256,
        files.loose.sha256,
      ]);
      assert.equal(await stores().snapshots.known(oldSnapshot), false);
      assert.equal((await stores().snapshots.load(activeSnapshot)).length, 2);
      assert.equal((await stores().snapshots.load(scheduledSnapshot)).length, 1);
      assert.equal((await state().logs.read(old, "log", 0, 100)).segments.length, 0);
      assert.equal((await state().logs.read(active, "log", 0, 100)).segments.length, 1);
      assert.deepEqual(await state().blobs.list(`runs/${old}/`), []);
      assert.deepEqual(await stores().artifacts.list(old), []);
      assert.equal((await stores().artifacts.list(latest)).length, 1);
      assert.equal(await stores().cancellations.get(old), undefined);
      // A second sweep has nothing to do.
      const again = await sweep(40);
      assert.deepEqual([again.runs.count, again.snapshots, again.contents.count, again.blobs.count], [0, 0, 0, 0]);
      await stores().runs.transition(active, "cancelled");
      await state().records.remove(SCHEDULES, schedule);
    });

    test("what is known of a launch goes with its run, or after a day where none came", async () => {
      const [came, never, young] = [await madeRun([]), newRunId(), newRunId()];
      const ahead = { step: "offered", sinceMs: 0 };
      const launch = { kind: "cloud-run", id: "e", launchedAtMs: Date.now() - 2 * DAY_MS, ahead };
      for (const id of [came, never]) await state().records.create(EXECUTIONS, id, launch);
      await state().records.create(EXECUTIONS, young, { ...launch, launchedAtMs: Date.now() });
      const isThere = async (id: string) => (await state().records.get(EXECUTIONS, id)) !== undefined;
      assert.ok((await sweep(0, true)).launches >= 1);
      assert.equal(await isThere(never), true);
      await sweep(0);
      assert.deepEqual(await Promise.all([came, never, young].map(isThere)), [true, false, true]);
      await stores().runs.transition(came, "cancelled");
      await sweep(40);
      assert.deepEqual(await Promise.all([came, never, young].map(isThere)), [false, false, false]);
    });

    test("a snapshot in use is spared, whatever its age", async () => {
      const file = newFile();
      const id = await madeSnapshot([file]);
      await stores(() => Date.now() + 39 * DAY_MS).snapshots.use(id);
      await sweep(40);
      assert.equal(await stores().snapshots.known(id), true);
      assert.deepEqual(await stores().snapshots.missing(id), []);
      await sweep(60);
      assert.equal(await stores().snapshots.known(id), false);
      // Sent again, it is whole again.
      assert.equal(await madeSnapshot([file]), id);
      assert.deepEqual(await stores().snapshots.missing(id), []);
    });

    test("sweeps beside senders lose nothing that was just sent", async () => {
      const files = Array.from({ length: 6 }, () => newFile());
      let sending = true;
      const sweeps = (async () => {
        while (sending) await sweep(0);
      })();
      const ids = await Promise.all(files.map((file) => madeSnapshot([file])));
      sending = false;
      await sweeps;
      for (const id of ids) assert.deepEqual(await stores().snapshots.missing(id), []);
    });

    test("expired envelopes and uploads go", async () => {
      const runId = newRunId();
      await state().envelopes.put(runId, { a: 1 });
      const file = newFile();
      await state().contents.appendUpload(file.sha256, 0, file.bytes);
      const now = await sweep(0);
      assert.deepEqual([now.envelopes, now.uploads], [0, 0]);
      const later = await sweep(2);
      assert.ok((later.envelopes ?? 0) >= 1 && (later.uploads ?? 0) >= 1);
      assert.equal(await state().envelopes.take(runId), undefined);
    });
  });
}
