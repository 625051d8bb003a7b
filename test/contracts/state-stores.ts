import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { AppError } from "../../src/core/errors.ts";
import type { Run } from "../../src/core/run.ts";
import { snapshotId } from "../../src/snapshot/entry.ts";
import type { PackedFile } from "../../src/state/artifacts.ts";
import { latestWithManifest } from "../../src/state/latest-manifest.ts";
import type { NewRun } from "../../src/state/runs.ts";
import type { StoredEntry } from "../../src/state/snapshots.ts";
import { createStores } from "../../src/state/stores.ts";
import type { HarnessOf } from "./state-contract.ts";
import { bytesOf, newFile, newRunId, sha256, type TestFile, until } from "./state-test-data.ts";

const codeIs = (code: string) => (error: unknown) => error instanceof AppError && error.code === code;
const HOUR_MS = 60 * 60 * 1000;

/** A run as it is posted; a workspace and a requester of its own unless told otherwise. */
export function newRun(changes: Partial<NewRun> = {}): NewRun {
  return {
    id: newRunId(),
    command: ["run"],
    args: ["run"],
    verb: "run",
    access: "write",
    requester: { id: `user-${newRunId()}`, label: "ada" },
    workspace: newRunId(),
    workspaceName: null,
    snapshotId: `v1-${"0".repeat(64)}`,
    projectDir: ".",
    mode: "project",
    inputs: [],
    stateSources: [],
    warehouseFile: null,
    profileFrom: "client",
    target: "dev",
    options: { timeoutMs: null, cancelOnDisconnectMs: null, elementary: false, jobProfile: null },
    envNames: [],
    ...changes,
  };
}

export function entryOf(path: string, file: TestFile): StoredEntry {
  return { path, mode: "100644", sha256: file.sha256, size: file.bytes.length };
}

export function storesContract(harnessOf: HarnessOf): void {
  const stores = (now: () => number = Date.now) => createStores({ state: harnessOf().state, now, snapshotId });
  async function created(changes: Partial<NewRun> = {}, now?: () => number): Promise<Run> {
    const creation = await stores(now).runs.create(newRun(changes));
    assert.equal(creation.kind, "created");
    assert.ok(creation.kind === "created");
    return creation.run;
  }

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

  describe("leases", () => {
    const TTL_MS = 10_000;

    test("writers take turns, in order of their numbers", async () => {
      const { leases, runs } = stores();
      const workspace = newRunId();
      const [one, two, three] = [
        await created({ workspace }),
        await created({ workspace }),
        await created({ workspace }),
      ];
      // Not yet its turn, though the root is free.
      assert.deepEqual(await leases.acquire(two, 1, TTL_MS), { kind: "waiting", behind: one.id });
      const first = await leases.acquire(one, 1, TTL_MS);
      assert.ok(first.kind === "acquired");
      assert.equal((await leases.acquire(one, 1, TTL_MS)).kind, "acquired");
      assert.equal(await leases.behind(one, 1), undefined);
      assert.deepEqual(await leases.acquire(three, 1, TTL_MS), { kind: "waiting", behind: one.id });
      await runs.transition(one.id, "cancelled");
      assert.equal(await leases.behind(three, 1), two.id);
      assert.equal((await leases.acquire(two, 1, TTL_MS)).kind, "acquired");
      assert.equal(await leases.renew(first.lease, TTL_MS), false);
      await leases.release(first.lease);
      assert.equal(await leases.holder(workspace, 1), two.id);
      await leases.release({ workspace, root: 1, runId: two.id });
      assert.equal(await leases.holder(workspace, 1), undefined);
    });

    test("other workspaces don't wait", async () => {
      const { leases } = stores();
      for (const run of [await created(), await created()]) {
        assert.equal((await leases.acquire(run, 1, TTL_MS)).kind, "acquired");
      }
    });

    test("a lease that is not renewed expires", async () => {
      let nowMs = Date.now();
      const { leases, runs } = stores(() => nowMs);
      const workspace = newRunId();
      const one = await created({ workspace });
      const two = await created({ workspace });
      const held = await leases.acquire(one, 1, TTL_MS);
      assert.ok(held.kind === "acquired");
      nowMs += TTL_MS - 1;
      assert.equal(await leases.renew(held.lease, TTL_MS), true);
      nowMs += TTL_MS - 1;
      assert.equal(await leases.holder(workspace, 1), one.id);
      nowMs += 1;
      assert.equal(await leases.holder(workspace, 1), undefined);
      // The run itself is not over, so its turn is not either.
      assert.deepEqual(await leases.acquire(two, 1, TTL_MS), { kind: "waiting", behind: one.id });
      await runs.transition(one.id, "failed", { reason: "lost" });
      assert.equal((await leases.acquire(two, 1, TTL_MS)).kind, "acquired");
      assert.equal(await leases.renew(held.lease, TTL_MS), false);
    });

    test("a reader meets a writer in the second root, where readers take turns", async () => {
      const { leases } = stores();
      const workspace = newRunId();
      const read = { workspace, access: "read", verb: "ls" } as const;
      const writer = await created({ workspace });
      const [reader, next] = [await created(read), await created(read)];
      assert.equal((await leases.acquire(writer, 1, TTL_MS)).kind, "acquired");
      assert.deepEqual(await leases.acquire(reader, 1, TTL_MS), { kind: "waiting", behind: writer.id });
      assert.equal((await leases.acquire(reader, 2, TTL_MS)).kind, "acquired");
      assert.deepEqual(await leases.acquire(next, 2, TTL_MS), { kind: "waiting", behind: reader.id });
      // A writer never waits for the second root.
      const later = await created({ workspace });
      assert.deepEqual(await leases.acquire(later, 1, TTL_MS), { kind: "waiting", behind: writer.id });
    });

    test("a reader of a warehouse file waits for writers", async () => {
      const { leases } = stores();
      const workspace = newRunId();
      const writer = await created({ workspace, warehouseFile: "dev.duckdb" });
      const reader = await created({ workspace, access: "read", verb: "show", warehouseFile: "dev.duckdb" });
      assert.deepEqual(await leases.acquire(reader, 1, TTL_MS), { kind: "waiting", behind: writer.id });
    });

    test("of racing runs one holds the root", async () => {
      const workspace = newRunId();
      const read = { workspace, access: "read", verb: "ls" } as const;
      const readers = await Promise.all(Array.from({ length: 5 }, () => created(read)));
      const results = await Promise.all(readers.map((run) => stores().leases.acquire(run, 1, TTL_MS)));
      assert.equal(results.filter(({ kind }) => kind === "acquired").length, 1);
    });

    test("watch tells when a root is free again", async () => {
      const { leases } = stores();
      const run = await created();
      await leases.acquire(run, 1, TTL_MS);
      let calls = 0;
      const stop = leases.watch(run.workspace, 1, () => {
        calls += 1;
      });
      await leases.release({ workspace: run.workspace, root: 1, runId: run.id });
      await until("the release", () => calls >= 1);
      stop();
    });
  });

  describe("snapshots", () => {
    test("are put, known and loaded; missing contents are told", async () => {
      const { snapshots } = stores();
      const files = [newFile(), newFile()] as const;
      const entries = [entryOf("a.sql", files[0]), entryOf("b/ä.sql", files[1]), entryOf("c.sql", files[0])];
      const id = snapshotId(entries);
      assert.equal(await snapshots.known(id), false);
      await assert.rejects(snapshots.load(id), codeIs("snapshot_unknown"));
      await assert.rejects(snapshots.use(id), codeIs("snapshot_unknown"));
      await harnessOf().state.contents.put(files[0].sha256, files[0].bytes);
      assert.deepEqual(await snapshots.put(id, entries), [files[1].sha256]);
      assert.deepEqual(await snapshots.missing(id), [files[1].sha256]);
      assert.equal(await snapshots.known(id), true);
      assert.deepEqual(await snapshots.load(id), entries);
      await harnessOf().state.contents.put(files[1].sha256, files[1].bytes);
      assert.deepEqual(await snapshots.put(id, entries), []);
      await snapshots.use(id);
    });

    test("made of a base that is known, or refused", async () => {
      const { snapshots } = stores();
      const files = [newFile(), newFile()] as const;
      const base = [entryOf("a.sql", files[0])];
      const entries = [...base, entryOf("b.sql", files[1])];
      await assert.rejects(
        snapshots.put(snapshotId(entries), entries, snapshotId(base)),
        codeIs("snapshot_base_unknown"),
      );
      await snapshots.put(snapshotId(base), base);
      const missing = await snapshots.put(snapshotId(entries), entries, snapshotId(base));
      assert.deepEqual(missing, [files[0].sha256, files[1].sha256]);
      assert.deepEqual(await snapshots.load(snapshotId(entries)), entries);
    });

    test("an id that the entries don't make is refused", async () => {
      const entries = [entryOf("a.sql", newFile())];
      const id = snapshotId([]);
      await assert.rejects(stores().snapshots.put(id, entries), codeIs("blob_corrupt"));
    });
  });

  describe("artifacts", () => {
    test("are listed, served one by one from their packs, and packed", async () => {
      const { artifacts } = stores();
      const runId = newRunId();
      assert.deepEqual(await artifacts.list(runId), []);
      await assert.rejects(artifacts.open(runId, "target/manifest.json"), codeIs("artifact_not_found"));
      await assert.rejects(artifacts.openPack(runId, "target"), codeIs("artifact_not_found"));
      const target = packOf({ "target/manifest.json": "{}", "target/run/ä.sql": "select 1", "target/empty": "" });
      const { pack, index } = target;
      await artifacts.putPack({
        runId,
        name: "target",
        content: Readable.from([pack]),
        index,
        manifestPath: "target/manifest.json",
      });
      const rest = packOf({ "logs/dbt.log": "log", "target/manifest.json": "{2}" });
      await artifacts.putPack({ runId, name: "rest", content: rest.pack, index: rest.index });
      assert.deepEqual(
        (await artifacts.list(runId)).map(({ path, pack }) => [path, pack]),
        [
          ["logs/dbt.log", "rest"],
          ["target/empty", "target"],
          ["target/manifest.json", "rest"],
          ["target/run/ä.sql", "target"],
        ],
      );
      const textOf = async (path: string) => (await bytesOf((await artifacts.open(runId, path)).content))?.toString();
      assert.equal(await textOf("target/run/ä.sql"), "select 1");
      assert.equal(await textOf("target/empty"), "");
      assert.equal(await textOf("target/manifest.json"), "{2}");
      const whole = await artifacts.openPack(runId, "target");
      assert.deepEqual(await bytesOf(whole.content), pack);
      assert.equal(whole.bytes, pack.length);
      assert.equal((await artifacts.get(runId))?.manifestPath, "target/manifest.json");
    });

    test("a pack that is complete stays, one cut short is put again", async () => {
      const { artifacts } = stores();
      const runId = newRunId();
      const cut = packOf({ "target/a": "cut short, and longer than what follows" });
      await harnessOf().state.blobs.put(`runs/${runId}/target.tar.gz`, cut.pack);
      for (const text of ["one", "two"]) {
        const { pack, index } = packOf({ "target/a": text });
        await artifacts.putPack({ runId, name: "target", content: pack, index });
        const { content } = await artifacts.open(runId, "target/a");
        assert.equal((await bytesOf(content))?.toString(), "one");
      }
    });

    test("run:latest is the latest success of a target with a manifest", async () => {
      const { artifacts, runs } = stores();
      const workspace = newRunId();
      const target = `t${newRunId()}`;
      const made: string[] = [];
      for (const [status, manifest] of [
        ["success", true],
        ["success", true],
        ["failed", true],
        ["success", false],
      ] as const) {
        const { id: runId } = await created({ workspace, target });
        made.push(runId);
        const { pack: content, index } = packOf({ "target/manifest.json": "{}" });
        const manifestPath = manifest ? "target/manifest.json" : null;
        await artifacts.putPack({ runId, name: "target", content, index, manifestPath });
        await runs.transition(runId, "running");
        await runs.transition(runId, status);
      }
      assert.equal((await latestWithManifest(runs, artifacts, { target }))?.id, made[1]);
      assert.equal((await latestWithManifest(runs, artifacts, { target, workspace }))?.id, made[1]);
      assert.equal((await latestWithManifest(runs, artifacts, { target: null, workspace }))?.id, made[1]);
      assert.equal(await latestWithManifest(runs, artifacts, { target: "none" }), undefined);
    });
  });
}

/** A pack's bytes and index; the members between the files stand for tar's headers. */
export function packOf(files: Record<string, string>): { pack: Buffer; index: PackedFile[] } {
  const members: Buffer[] = [];
  const index: PackedFile[] = [];
  let offset = 0;
  for (const [path, text] of Object.entries(files)) {
    const header = gzipSync(`header of ${path}`);
    const member = gzipSync(text);
    const entry = entryOf(path, { sha256: sha256(text), bytes: Buffer.from(text) });
    index.push({ ...entry, offset: offset + header.length, length: member.length });
    members.push(header, member);
    offset += header.length + member.length;
  }
  return { pack: Buffer.concat(members), index };
}
