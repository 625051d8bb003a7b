import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { get, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { startService, type TestService, type TestServiceOptions } from "../../../test/service-fixture.ts";
import type { LogAnswer, LogChunk, LogEnd } from "../../api/schemas.ts";
import { type SseMessage, sseParser } from "../../api/sse.ts";
import type { LogWriter } from "../../state/port.ts";
import { createAuth } from "../auth.ts";

/** The test is the job, and has no heart. */
const patience = { heartMs: 600_000 };
const HEADERS = { authorization: "Bearer t", accept: "text/event-stream" };

interface Served extends TestService {
  readonly port: number;
}

async function serve(options: TestServiceOptions = {}): Promise<Served> {
  const server = await startService({ auth: createAuth("token", "t"), patience, ...options });
  await server.app.listen({ host: "127.0.0.1", port: 0 });
  return { ...server, port: (server.app.server.address() as AddressInfo).port };
}

/** A run whose log the test itself writes. */
async function aRun(server: TestService): Promise<{ runId: string; writer: LogWriter; finish(): Promise<void> }> {
  const runId = randomUUID();
  await server.stores.runs.create({
    ...{ id: runId, command: ["run"], args: ["run"], verb: "run", access: "write", workspace: runId },
    ...{
      requester: { id: "token", label: "t" },
      workspaceName: null,
      snapshotId: "v1-0",
      projectDir: ".",
      mode: "project",
    },
    ...{ inputs: [], stateSources: [], warehouseFile: null, profileFrom: "none", target: null, envNames: [] },
    options: { timeoutMs: null, cancelOnDisconnectMs: null, elementary: false, jobProfile: null },
  });
  await server.stores.runs.transition(runId, "running");
  const writer = await server.state.logs.openWriter(runId, "log");
  return {
    ...{ runId, writer },
    async finish() {
      await server.stores.runs.patch(runId, {
        dbtFinished: { exitCode: 0, dbtOffset: writer.offset, targetPack: false, at: new Date().toISOString() },
      });
      await append(writer, "END JOB\n", "job");
      const { finalOffset, sha256 } = await writer.seal();
      await server.stores.runs.transition(runId, "success", { exitCode: 0, logSize: finalOffset, logSha256: sha256 });
    },
  };
}

function append(writer: LogWriter, text: string | Buffer, channel: "out" | "err" | "job" = "out"): Promise<void> {
  return writer.append([{ channel, timeMs: Date.now(), bytes: Buffer.from(text) }]);
}

function connect(port: number, path: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, path, agent: false, headers: { ...HEADERS, ...headers } }, resolve).on(
      "error",
      reject,
    );
  });
}

interface Follow {
  readonly bytes: Buffer;
  readonly events: readonly SseMessage[];
  readonly end: LogEnd | undefined;
}

/** Follows to the end, or until `leave` says so; `offset` as the last event's id. */
async function follow(
  port: number,
  runId: string,
  offset = 0,
  leave: (got: number) => boolean = () => false,
): Promise<Follow> {
  const response = await connect(
    port,
    `/api/v1/runs/${runId}/log`,
    offset === 0 ? {} : { "last-event-id": String(offset) },
  );
  const parse = sseParser();
  const events: SseMessage[] = [];
  const parts: Buffer[] = [];
  let got = 0;
  try {
    for await (const chunk of response) {
      for (const message of parse(chunk as Buffer)) {
        events.push(message);
        if (message.event !== "log") continue;
        const { segments, ...place } = JSON.parse(message.data) as LogChunk;
        assert.equal(place.offset, offset + got);
        for (const { bytes } of segments) parts.push(Buffer.from(bytes, "base64"));
        got = parts.reduce((sum, part) => sum + part.length, 0);
        assert.equal(place.nextOffset, offset + got);
        assert.equal(message.id, String(place.nextOffset));
      }
      if (leave(got)) break;
    }
  } finally {
    response.destroy();
  }
  const last = events.at(-1);
  return { bytes: Buffer.concat(parts), events, end: last?.event === "end" ? JSON.parse(last.data) : undefined };
}

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

test("JSON waits for more, plain text is the bytes, and a pending answer ends with the run", async () => {
  const server = await startService({ patience });
  try {
    const { runId, writer, finish } = await aRun(server);
    const url = `/api/v1/runs/${runId}/log`;
    const ask = async (query: string) => (await server.send({ url: `${url}?${query}` })).json<LogAnswer>();
    const empty = await ask("waitMs=50");
    assert.deepEqual([empty.segments, empty.nextOffset, empty.finalOffset], [[], 0, null]);
    const waiting = ask("waitMs=20000");
    await append(writer, "first\n");
    assert.equal(Buffer.from((await waiting).segments[0]?.bytes ?? "", "base64").toString(), "first\n");
    const part = await ask("offset=2&maxBytes=3");
    assert.equal(Buffer.from(part.segments[0]?.bytes ?? "", "base64").toString(), "rst");
    const last = ask("offset=6&waitMs=20000");
    await finish();
    await last;
    const done = await ask("offset=14&waitMs=20000");
    assert.equal(done.finalOffset, 14);
    assert.equal(done.run.status, "success");
    const text = await server.send({ url: `${url}?offset=1`, headers: { accept: "text/plain" } });
    assert.equal(text.body, "irst\nEND JOB\n");
    assert.match(String(text.headers["content-type"]), /^text\/plain/);
    assert.equal((await ask("offset=999999999")).finalOffset, 14);
  } finally {
    await server.stop();
  }
});
