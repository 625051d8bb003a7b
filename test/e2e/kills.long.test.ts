/** The same kills at many moments: from before the job has begun to after dbt has ended. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startServer, tempFolder } from "../harness.ts";
import {
  apiOf,
  countedLines,
  countUntil,
  newCheckout,
  newestRun,
  newGate,
  PATIENCE_MS,
  processesOf,
  requireProc,
  runWhen,
  storedStdout,
} from "./gated.ts";

const ROUNDS = 12;
const LONGEST_MS = 6_000;
const isEnded = ({ status }: { readonly status: string }) => status !== "pending" && status !== "running";

test("kill -9 of the server at any moment after the post: the run ends well, and each byte is there once", async (context) => {
  if (!requireProc(context)) return;
  const home = tempFolder("home");
  let server = await startServer({ home });
  const { dataDir, port } = server;
  context.after(() => server.stop());
  for (let round = 0; round < ROUNDS; round += 1) {
    const delayMs = Math.round(Math.random() * LONGEST_MS);
    await context.test(`after ${delayMs} ms`, async () => {
      const gate = newGate();
      const cli = newCheckout(server).start([...countUntil(gate), "--idempotency-key", `round-${round}`]);
      const { id } = await runOfRound(round);
      await sleep(delayMs);
      server.kill("SIGKILL");
      await server.done;
      server = await startServer({ home, dataDir, port });
      gate.open();
      const { stdout, stderr, code } = await cli.done;
      assert.equal(code, 0, stdout + stderr);
      assert.match(stdout, new RegExp(`^counted to ${countedLines(stdout) - 1}$`, "m"));
      assert.equal((await runWhen(server, id, "ended", isEnded)).status, "success");
      assert.equal(stdout, await storedStdout(server, id));
    });
  }

  /** Waits until this round's run is there: rounds are numbered from 0, runs from 1. */
  async function runOfRound(round: number) {
    for (const giveUpAtMs = Date.now() + PATIENCE_MS; ; await sleep(20)) {
      const run = await newestRun(server).catch(() => undefined);
      if (run !== undefined && run.number > round) return run;
      assert.ok(Date.now() < giveUpAtMs, "no run was posted");
    }
  }
});

for (const victim of ["job", "dbt"] as const) {
  test(`kill -9 of ${victim} at any moment: the run fails with the reason, and the next one has its turn`, async (context) => {
    if (!requireProc(context)) return;
    const server = await startServer({ home: tempFolder("home") });
    context.after(() => server.stop());
    const checkout = newCheckout(server);
    for (let round = 0; round < ROUNDS; round += 1) {
      const delayMs = Math.round(Math.random() * LONGEST_MS);
      await context.test(`after ${delayMs} ms`, async () => {
        const { stdout: id } = await checkout.start([...countUntil(newGate()), "--detach"]).done;
        const run = await apiOf(server).run(id.trim());
        const pids = await processesOf(server, run);
        await sleep(delayMs);
        const killedAtMs = Date.now();
        process.kill(pids[victim], "SIGKILL");
        const ended = await runWhen(server, run.id, "ended", isEnded);
        assert.ok(Date.now() - killedAtMs < 30_000);
        assert.deepEqual(
          [ended.status, ended.reason],
          ["failed", victim === "job" ? "job_failed" : "dbt_killed"],
          ended.message ?? "",
        );
        countedLines((await storedStdout(server, run.id)).replace(/[^\n]*$/, ""));
        const open = newGate();
        open.open();
        const next = await checkout.start(countUntil(open)).done;
        assert.equal(next.code, 0, next.stdout + next.stderr);
      });
    }
  });
}
