import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { relay } from "./relay.ts";

function shell(script: string) {
  const child = spawn("sh", ["-c", script], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
  const exited = new Promise((done) => child.once("exit", done));
  return { child, exited };
}

test("a process left behind that holds the stream open does not keep it from ending", async () => {
  const { child, exited } = shell("sleep 60 & echo done");
  const started = performance.now();
  assert.equal(await text(relay(child.stdout, exited, 200)), "done\n");
  assert.ok(performance.now() - started < 30_000);
  process.kill(-(child.pid ?? 0), "SIGKILL");
});

test("what a process left behind still writes is passed on", async () => {
  const { child, exited } = shell("(for i in 1 2 3; do sleep 0.2; echo $i; done) & echo 0");
  assert.equal(await text(relay(child.stdout, exited, 5_000)), "0\n1\n2\n3\n");
});

test("a slow reader gets every byte, long after the child is gone", async () => {
  const { child, exited } = shell("head -c 1000000 /dev/zero");
  const stream = relay(child.stdout, exited, 50);
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size < 400_000) await new Promise((done) => setTimeout(done, 100));
  }
  assert.equal(size, 1_000_000);
});

test("destroying the result closes the child's stream, as a closed pipe does", async () => {
  const { child, exited } = shell("yes");
  relay(child.stdout, exited, 200).destroy();
  await exited;
  assert.notEqual(child.exitCode, 0);
});
