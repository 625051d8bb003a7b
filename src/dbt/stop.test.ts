import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import type { DbtExit } from "./port.ts";
import { stopDbt } from "./stop.ts";

/** A program that ignores these signals, ready for others. */
async function program(ignored: string) {
  const trap = ignored === "" ? "" : `trap '' ${ignored};`;
  const child = spawn("sh", ["-c", `${trap} echo ready; while :; do sleep 0.05; done`], { detached: true });
  const exit = new Promise<DbtExit>((done) => child.once("exit", (code, signal) => done({ code, signal })));
  await once(child.stdout, "data");
  return {
    exit,
    signal: (signal: "SIGINT" | "SIGTERM" | "SIGKILL") =>
      child.exitCode === null && child.signalCode === null && process.kill(-(child.pid ?? 0), signal),
  };
}

test("the first step that works is the last", async () => {
  const times = { graceMs: 400, termMs: 400 };
  const outcomes = await Promise.all(
    ["", "INT", "INT TERM"].map(async (ignored) => stopDbt(await program(ignored), times)),
  );
  assert.deepEqual(outcomes, [
    { step: "SIGINT", exit: { code: null, signal: "SIGINT" } },
    { step: "SIGTERM", exit: { code: null, signal: "SIGTERM" } },
    { step: "SIGKILL", exit: { code: null, signal: "SIGKILL" } },
  ]);
});

test("a program that is gone gets no signal", async () => {
  const gone = await program("");
  gone.signal("SIGKILL");
  await gone.exit;
  assert.equal((await stopDbt(gone, { graceMs: 1, termMs: 1 })).step, "none");
});
