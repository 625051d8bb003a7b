import assert from "node:assert/strict";
import { test } from "node:test";
import { copyProject } from "../../test/folders.ts";
import { createJobHarness, type JobHarness } from "../../test/job-harness.ts";
import { until } from "../../test/programs.ts";
import { claimRun } from "./claim.ts";
import { startHeart } from "./heart.ts";
import { createStopSwitch, stopOnSignal, stopOnTimeout, watchForStop } from "./stopping.ts";

const RUN = "11111111-1111-4111-8111-111111111111";

async function withHarness(body: (harness: JobHarness) => Promise<void>): Promise<void> {
  const harness = await createJobHarness();
  try {
    await body(harness);
  } finally {
    await harness.close();
  }
}

test("the first to press the switch says why; who asks later is told at once", () => {
  const stop = createStopSwitch();
  const told: string[] = [];
  stop.onPressed(({ message }) => told.push(message));
  stopOnTimeout(stop, 1500);
  stopOnSignal(stop, "SIGTERM");
  stop.onPressed(({ kind }) => told.push(kind));
  assert.deepEqual(told, ["Stopped after 1.5 s (--timeout).", "timed_out"]);
});

test("a cancellation in State is seen, whether it was there before or comes later", async () => {
  await withHarness(async ({ stores }) => {
    for (const isEarly of [true, false]) {
      const runId = isEarly ? RUN : RUN.replace("1", "2");
      const stop = createStopSwitch();
      if (isEarly) await stores.cancellations.request(runId, "ada", null);
      const end = watchForStop({ runId, stop, ...stores, cancelOnDisconnectMs: null, now: Date.now });
      if (!isEarly) await stores.cancellations.request(runId, "ada", "why not");
      const { message } = await until("the stop", () => stop.request, 5_000);
      assert.equal(message, isEarly ? "Cancelled by ada." : "Cancelled by ada: why not.");
      end();
    }
  });
});

test("a run that nobody follows any more is cancelled, counted from the last that was seen", async () => {
  await withHarness(async ({ stores }) => {
    const stop = createStopSwitch();
    let offsetMs = 0;
    const now = () => Date.now() + offsetMs;
    const end = watchForStop({ runId: RUN, stop, ...stores, cancelOnDisconnectMs: 60_000, now });
    offsetMs = 50_000;
    await stores.followers.seen(RUN);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    assert.equal(stop.request, undefined);
    offsetMs = 130_000;
    const { kind, message } = await until("the stop", () => stop.request, 5_000);
    assert.deepEqual([kind, message], ["cancelled", "Nobody followed the run for 60 s (--cancel-on-disconnect)."]);
    end();
  });
});

test("a run is claimed once, in its turn, and not when it was cancelled", async () => {
  await withHarness(async (harness) => {
    const { stores } = harness;
    const project = copyProject("tiny");
    const [first, second, third] = await Promise.all([1, 2, 3].map(() => harness.post({ project, args: ["run"] })));
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    const inOrder = (await stores.runs.list()).reverse().map(({ id }) => id);
    const [oldest = "", next = "", last = ""] = inOrder;
    const claim = (runId: string) => claimRun({ runId, root: 1, ...stores });
    const claims = await Promise.all([claim(oldest), claim(oldest)]);
    assert.deepEqual(claims.map(({ claimed }) => claimed).sort(), [false, true]);
    assert.equal((await stores.runs.require(oldest)).status, "running");
    const early = await claim(next);
    assert.ok(!early.claimed && early.why.includes(oldest));
    await stores.runs.transition(oldest, "success");
    await stores.cancellations.request(next, "ada", null);
    assert.deepEqual(await claim(next), { claimed: false, why: "the run was cancelled" });
    assert.equal((await stores.runs.require(next)).status, "pending", "the server's to end");
    await stores.runs.transition(next, "cancelled");
    assert.equal((await claim(last)).claimed, true);
  });
});

test("a job that is not told its root has the one that was leased, and says which execution it is", async () => {
  await withHarness(async (harness) => {
    const { stores } = harness;
    const project = copyProject("tiny");
    const execution = "projects/p/locations/l/jobs/j/executions/e";
    const reader = { project, args: ["ls"], access: "read", warehouseFile: null } as const;
    for (const root of [1, 2] as const) {
      const run = await stores.runs.require(await harness.post(reader));
      assert.equal((await stores.leases.acquire(run, root, 60_000)).kind, "acquired");
      const claim = await claimRun({ runId: run.id, root: undefined, execution, ...stores });
      assert.ok(claim.claimed);
      assert.deepEqual([claim.lease.root, claim.run.execution], [root, execution]);
    }
  });
});

test("the heart beats with pid and start time, and says when the lease is lost", async () => {
  await withHarness(async ({ stores }) => {
    const lease = { workspace: "w", root: 1, runId: RUN, expiresAtMs: 0 } as const;
    let lost = 0;
    const onLost = () => {
      lost += 1;
    };
    const heart = startHeart({ runId: RUN, lease, ...stores, onLost });
    const beat = await until("the beat", () => stores.heartbeats.get(RUN));
    assert.equal(beat.pid, process.pid);
    assert.match(beat.startTime ?? "", process.platform === "linux" ? /^\d+$/ : /^$/);
    await until("the loss", () => lost > 0);
    await heart.stop();
  });
});
