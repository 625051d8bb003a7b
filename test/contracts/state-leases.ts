import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { HarnessOf } from "./state-contract.ts";
import { storesUnderTest } from "./state-stores-data.ts";
import { newRunId, until } from "./state-test-data.ts";

export function leasesContract(harnessOf: HarnessOf): void {
  const { stores, created } = storesUnderTest(harnessOf);

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
}
