import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { append, aRun, connect, follow, serve } from "../../../test/log-service.ts";
import type { LogChunk, LogEnd } from "../../api/schemas/logs.ts";
import { sseParser } from "../../api/sse.ts";
import { createAuth } from "../auth.ts";

test("a reader that breaks off anywhere and comes again gets every byte once", async () => {
  const server = await serve();
  try {
    const { runId, writer, finish } = await aRun(server);
    const written: Buffer[] = [];
    const writing = (async () => {
      for (let batch = 0; batch < 120; batch += 1) {
        const bytes = Buffer.alloc(1 + Math.floor(Math.random() * 3000), `${batch} é\n`);
        written.push(bytes);
        await append(writer, bytes, batch % 3 === 0 ? "err" : "out");
        if (batch % 5 === 0) await new Promise((resume) => setTimeout(resume, 5));
      }
      await finish();
    })();
    const got: Buffer[] = [];
    let offset = 0;
    let end: LogEnd | undefined;
    let breaks = 0;
    while (end === undefined) {
      const limit = 1 + Math.floor(Math.random() * 20_000);
      const part = await follow(server.port, runId, offset, (size) => size >= limit);
      got.push(part.bytes);
      offset += part.bytes.length;
      end = part.end;
      breaks += 1;
    }
    await writing;
    const whole = Buffer.concat([...written, Buffer.from("END JOB\n")]);
    assert.ok(Buffer.concat(got).equals(whole));
    assert.ok(breaks > 2);
    assert.equal(end.finalOffset, whole.length);
    assert.equal(end.sha256, createHash("sha256").update(whole).digest("hex"));
    const again = await follow(server.port, runId);
    assert.ok(again.bytes.equals(whole));
    assert.deepEqual(server.failures, []);
  } finally {
    await server.stop();
  }
});

test("events come in their order", async () => {
  const server = await serve();
  try {
    const { runId, writer, finish } = await aRun(server);
    const following = follow(server.port, runId);
    await append(writer, "hello\n");
    await new Promise((resume) => setTimeout(resume, 100));
    await finish();
    const { events } = await following;
    const types = events.map(({ event }) => event).filter((type, at, all) => type !== all[at - 1]);
    assert.equal(types[0], "run");
    assert.equal(types[1], "log");
    assert.ok(types.indexOf("dbt-finished") > types.indexOf("log"));
    assert.equal(types.at(-1), "end");
    assert.equal(types.filter((type) => type === "dbt-finished").length, 1);
    const late = await follow(server.port, runId, 6 + 8);
    assert.deepEqual(
      late.events.map(({ event }) => event),
      ["run", "dbt-finished", "end"],
    );
  } finally {
    await server.stop();
  }
});

test("a line is on its way at once, and hundreds of readers share one reading of it", async () => {
  const server = await serve();
  try {
    const { runId, writer, finish } = await aRun(server);
    const latencies: number[] = [];
    const response = await connect(server.port, `/api/v1/runs/${runId}/log`);
    const parse = sseParser();
    response.on("data", (chunk: Buffer) => {
      for (const { event, data } of parse(chunk)) {
        if (event !== "log") continue;
        const { segments } = JSON.parse(data) as LogChunk;
        for (const { timeMs } of segments) latencies.push(Date.now() - timeMs);
      }
    });
    for (let line = 0; line < 50; line += 1) {
      await append(writer, `line ${line}\n`);
      await new Promise((resume) => setTimeout(resume, 10));
    }
    latencies.sort((a, b) => a - b);
    assert.ok((latencies[Math.floor(latencies.length / 2)] ?? Number.POSITIVE_INFINITY) < 50, `${latencies}`);
    response.destroy();

    let reads = 0;
    const { read } = server.state.logs;
    Object.assign(server.state.logs, {
      read: (...args: Parameters<typeof read>) => {
        reads += 1;
        return read(...args);
      },
    });
    const followers = Array.from({ length: 300 }, () => follow(server.port, runId));
    const deadline = Date.now() + 30_000;
    while (server.service.followers() < 300 && Date.now() < deadline)
      await new Promise((resume) => setTimeout(resume, 20));
    await new Promise((resume) => setTimeout(resume, 500));
    reads = 0;
    for (let line = 0; line < 20; line += 1) {
      await append(writer, `more ${line}\n`);
      await new Promise((resume) => setTimeout(resume, 10));
    }
    await finish();
    const all = await Promise.all(followers);
    assert.equal(new Set(all.map(({ bytes }) => bytes.toString())).size, 1);
    assert.ok(all.every(({ end }) => end !== undefined));
    assert.ok(reads < 300, `${reads} reads`);
  } finally {
    await server.stop();
  }
});

test("a reader that takes nothing holds up no other, and loses nothing", async () => {
  const server = await serve();
  try {
    const { runId, writer, finish } = await aRun(server);
    const slow = await connect(server.port, `/api/v1/runs/${runId}/log`);
    slow.pause();
    const quick = follow(server.port, runId);
    const block = Buffer.alloc(256 * 1024, "0123456789\n");
    for (let count = 0; count < 40; count += 1) await append(writer, block);
    await finish();
    const { bytes } = await quick;
    assert.equal(bytes.length, 40 * block.length + 8);
    let size = 0;
    const parse = sseParser();
    for await (const chunk of slow) {
      for (const { event, data } of parse(chunk as Buffer)) {
        if (event === "log") size = (JSON.parse(data) as LogChunk).nextOffset;
      }
    }
    assert.equal(size, bytes.length);
  } finally {
    await server.stop();
  }
});

test("streams end with timeout after their time, and when the server goes", async () => {
  const server = await serve({ settings: { streamTimeoutMs: 150 } });
  const { runId, writer } = await aRun(server);
  await append(writer, "one\n");
  const timed = await follow(server.port, runId);
  assert.equal(timed.events.at(-1)?.event, "timeout");
  assert.equal(timed.bytes.toString(), "one\n");
  await server.stop();
  const stopping = await serve();
  const other = await aRun(stopping);
  const following = follow(stopping.port, other.runId);
  while (stopping.service.followers() === 0) await new Promise((resume) => setTimeout(resume, 10));
  await stopping.stop();
  assert.equal((await following).events.at(-1)?.event, "timeout");
});

test("a stream ends when its reader's token does", async () => {
  const auth = createAuth("token", "t");
  const caller: typeof auth.caller = async (request) => ({
    ...(await auth.caller(request)),
    expiresAtMs: Date.now() + 1_200,
  });
  const server = await serve({ auth: { ...auth, caller } });
  const { runId, writer } = await aRun(server);
  await append(writer, "one\n");
  const startedAt = performance.now();
  const timed = await follow(server.port, runId);
  assert.equal(timed.events.at(-1)?.event, "timeout");
  assert.equal(timed.bytes.toString(), "one\n");
  assert.ok(performance.now() - startedAt >= 1_000, "not before");
  await server.stop();
});
