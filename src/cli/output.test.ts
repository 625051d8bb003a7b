import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { createOutput } from "./output.ts";

const terminal = (stream: PassThrough) => Object.assign(stream, { isTTY: true, columns: 40 });

test("own lines go to stderr, and not when quiet; errors always do", async () => {
  for (const quiet of [false, true]) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const output = createOutput(stdout, stderr, { quiet });
    output.say("hello");
    output.complain("error");
    output.status("never without a terminal");
    await output.flush();
    assert.equal(String(stderr.read()), quiet ? "error\n" : "dbt-remote: hello\nerror\n");
    assert.equal(stdout.read(), null);
  }
});

test("a status line is taken away before anything is printed, and own lines never stick to dbt's", async () => {
  const both = terminal(new PassThrough());
  const output = createOutput(both, both, { quiet: false });
  output.status("sending");
  await output.out.write("12:00  half a line");
  output.say("hello");
  await output.flush();
  assert.equal(String(both.read()), "sending\r\u001b[2K12:00  half a line\ndbt-remote: hello\n");
});

test("waits for a reader that is slow", async () => {
  const slow = new PassThrough({ highWaterMark: 10 });
  const output = createOutput(slow, new PassThrough(), { quiet: false });
  let isDone = false;
  const written = output.out.write(Buffer.alloc(100)).then(() => {
    isDone = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isDone, false);
  slow.resume();
  await written;
});

test("a reader that goes away ends nothing", async () => {
  const code = `
    import { createOutput } from ${JSON.stringify(new URL("./output.ts", import.meta.url).href)};
    const output = createOutput(process.stdout, process.stderr, { quiet: false });
    for (let line = 0; line < 20000; line += 1) await output.out.write("x".repeat(100) + "\\n");
    await output.flush();
    output.say("done");
    await output.flush();
    process.exit(1);
  `;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", code], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stdout.once("data", () => child.stdout.destroy());
  let stderr = "";
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const exitCode = await new Promise((resolve) => child.once("close", resolve));
  assert.equal(exitCode, 1);
  assert.equal(stderr, "dbt-remote: done\n");
});
