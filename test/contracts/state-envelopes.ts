import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { HarnessOf } from "./state-contract.ts";
import { newRunId } from "./state-test-data.ts";

export function envelopesContract(harnessOf: HarnessOf): void {
  const envelopes = () => harnessOf().state.envelopes;

  describe("envelopes", () => {
    test("taken once, by another handle, as it was put", async () => {
      const runId = newRunId();
      const envelope = { profiles: "a: {password: päss}\n", env: { DBT_ENV_SECRET_X: "s3cret" }, files: [] };
      await envelopes().put(runId, envelope);
      const other = await harnessOf().reopen();
      assert.deepEqual(await other.envelopes.take(runId), envelope);
      assert.equal(await other.envelopes.take(runId), undefined);
      assert.equal(await envelopes().take(runId), undefined);
    });

    test("of racing takers one gets it", async () => {
      const runId = newRunId();
      await envelopes().put(runId, { a: 1 });
      const other = await harnessOf().reopen();
      // A few only: an emulator that looks and deletes in two steps may let two of many through, which a real store does not.
      const taken = await Promise.all(
        Array.from({ length: 3 }, (_, number) => (number % 2 === 0 ? envelopes() : other.envelopes).take(runId)),
      );
      assert.equal(taken.filter((envelope) => envelope !== undefined).length, 1);
    });

    test("one put again replaces the first; large ones are kept", async () => {
      const runId = newRunId();
      await envelopes().put(runId, { a: 1 });
      const keyfile = "x".repeat(3_000_000);
      await envelopes().put(runId, { keyfile });
      assert.deepEqual(await envelopes().take(runId), { keyfile });
    });

    test("discard", async () => {
      const runId = newRunId();
      await envelopes().put(runId, { a: 1 });
      await envelopes().discard(runId);
      await envelopes().discard(runId);
      assert.equal(await envelopes().take(runId), undefined);
    });

    test("only old ones expire", async () => {
      const runId = newRunId();
      await envelopes().put(runId, { a: 1 });
      await envelopes().expire(Date.now() - 60_000);
      const again = newRunId();
      await envelopes().put(again, { b: 1 });
      assert.deepEqual(await envelopes().take(runId), { a: 1 });
      assert.ok((await envelopes().expire(Date.now() + 60_000)) >= 1);
      assert.equal(await envelopes().take(again), undefined);
    });
  });
}
