import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { createClient } from "../api/client.ts";
import { AppError } from "../core/errors.ts";
import { type FollowOptions, type FollowSink, follow } from "./follow.ts";

const RUN_ID = "00000000-0000-4000-8000-000000000001";
const servers: Server[] = [];
after(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(handle: (request: IncomingMessage, response: ServerResponse) => void, port = 0): Promise<string> {
  const server = createServer(handle);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A log as segments of changing channels, and what each stream has of it. */
function makeLog(size: number) {
  const bytes = Buffer.from(Array.from({ length: size }, (_, at) => 33 + ((at * 7) % 90)));
  const channelAt = (offset: number) => (["out", "err", "job"] as const)[Math.floor(offset / 37) % 3] ?? "out";
  const segments = (from: number, to: number) => {
    const found: { channel: string; timeMs: number; bytes: string }[] = [];
    for (let at = from; at < to; ) {
      const end = Math.min(to, (Math.floor(at / 37) + 1) * 37);
      found.push({ channel: channelAt(at), timeMs: 0, bytes: bytes.subarray(at, end).toString("base64") });
      at = end;
    }
    return found;
  };
  const wanted = { out: "", err: "", job: "" };
  for (let at = 0; at < size; at += 1) wanted[channelAt(at)] += String.fromCharCode(bytes[at] ?? 0);
  return { segments, wanted };
}

function runView(more: object = {}) {
  return { id: RUN_ID, number: 7, status: "running", waitingFor: null, warnings: [], dbtFinished: null, ...more };
}

function collector() {
  const got = { out: "", err: "", job: "" };
  let breaks = 0;
  const sink: FollowSink = {
    run: () => undefined,
    bytes: async (channel, bytes) => {
      got[channel] += Buffer.from(bytes).toString("latin1");
      if (Math.random() < 0.1) await new Promise((resolve) => setImmediate(resolve));
    },
    broken: () => {
      breaks += 1;
    },
    mended: () => undefined,
  };
  return { got, sink, breaks: () => breaks };
}

const sse = (event: string, data: unknown, id?: number) =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

function options(url: string, sink: FollowSink, more: Partial<FollowOptions> = {}): FollowOptions {
  const client = createClient({ baseUrl: url, retryDelaysMs: [] });
  return {
    client,
    reconnect: async () => client,
    runId: RUN_ID,
    sink,
    leaveAt: () => false,
    giveUpAfterMs: 20_000,
    silenceMs: 5000,
    pollMs: 20,
    ...more,
  };
}

/** Answers from the offset asked for, and breaks off in the middle of anything. */
function breaking(log: ReturnType<typeof makeLog>, size: number, breaks: number) {
  let left = breaks;
  return (request: IncomingMessage, response: ServerResponse) => {
    const offset = Number(new URL(request.url ?? "", "http://x").searchParams.get("offset"));
    response.writeHead(200, { "content-type": "text/event-stream" });
    // Chunks may begin before the offset that was asked for: the reader drops what it has.
    let at = Math.max(0, offset - Math.floor(Math.random() * 50));
    let text = sse("run", runView());
    while (at < size) {
      const end = Math.min(size, at + 1 + Math.floor(Math.random() * 200));
      text += `: ping\n\n${sse("log", { offset: at, segments: log.segments(at, end), nextOffset: end }, end)}`;
      at = end;
    }
    text += sse("dbt-finished", { exitCode: 1, dbtOffset: size, targetPack: true, at: "" }, size);
    text += sse("end", {
      status: "failed",
      reason: "dbt_failed",
      message: null,
      exitCode: 1,
      finalOffset: size,
      sha256: null,
    });
    if (left <= 0) return void response.end(text);
    left -= 1;
    const cut = Math.floor(Math.random() * text.length);
    const isClean = Math.random() < 0.3;
    response.write(text.slice(0, cut), () => {
      if (isClean) response.end(Math.random() < 0.5 ? sse("timeout", {}) : "");
      else response.destroy();
    });
  };
}

test("every byte once and in order, wherever the connection breaks", async () => {
  for (let round = 0; round < 6; round += 1) {
    const size = 3000;
    const log = makeLog(size);
    const url = await serve(breaking(log, size, 6));
    const { got, sink } = collector();
    const { end } = await follow(options(url, sink));
    assert.deepEqual(got, log.wanted);
    assert.equal(end?.exitCode, 1);
  }
});

test("leaves at dbt-finished, but not before dbt's last byte", async () => {
  const log = makeLog(500);
  const url = await serve(breaking(log, 500, 3));
  const { got, sink } = collector();
  const { end, finished } = await follow(options(url, sink, { leaveAt: () => true }));
  assert.deepEqual(got, log.wanted);
  assert.equal(finished?.exitCode, 1);
  assert.equal(end, null);
});

test("a stream that stays mute, or is none, is replaced by asking again and again", async () => {
  const size = 900;
  const log = makeLog(size);
  for (const kind of ["mute", "json"] as const) {
    let known = 0;
    const url = await serve((request, response) => {
      const isStream = request.headers.accept === "text/event-stream";
      if (isStream && kind === "mute")
        return void response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      const offset = Number(new URL(request.url ?? "", "http://x").searchParams.get("offset"));
      known = Math.min(size, known + 200);
      const isOver = offset >= size;
      response.writeHead(200, { "content-type": "application/json" });
      response.end(
        JSON.stringify({
          offset,
          segments: log.segments(offset, Math.max(offset, known)),
          nextOffset: Math.max(offset, known),
          run: runView(isOver ? { status: "success", exitCode: 0, reason: null, message: null } : {}),
          finalOffset: isOver ? size : null,
          sha256: null,
        }),
      );
    });
    const { got, sink } = collector();
    const { end } = await follow(options(url, sink, { silenceMs: 200 }));
    assert.deepEqual(got, log.wanted, kind);
    assert.equal(end?.status, "success");
  }
});

test("gives up with connection_lost, code 75 and the line to attach, when a break lasts", async () => {
  const { sink, breaks } = collector();
  await assert.rejects(follow(options("http://127.0.0.1:9", sink, { giveUpAfterMs: 500 })), (error) => {
    assert.ok(error instanceof AppError);
    assert.equal(error.exitCode, 75);
    assert.match(error.hint ?? "", new RegExp(`dbt-remote attach ${RUN_ID}`));
    return true;
  });
  assert.equal(breaks(), 1);
});

test("an identity that is revoked in mid-follow loses the connection, not the run: code 75 and the line to attach", async () => {
  const size = 400;
  const log = makeLog(size);
  for (const [status, code] of [
    [401, "unauthorized"],
    [403, "forbidden"],
  ] as const) {
    let isRevoked = false;
    let refusals = 0;
    const url = await serve((_, response) => {
      if (isRevoked) {
        refusals += 1;
        response.writeHead(status, { "content-type": "application/json" });
        return void response.end(JSON.stringify({ error: { code, message: "Not you.", hint: "gcloud auth login" } }));
      }
      isRevoked = true;
      response.writeHead(200, { "content-type": "text/event-stream" });
      const chunk = { offset: 0, segments: log.segments(0, 100), nextOffset: 100 };
      response.write(sse("run", runView()) + sse("log", chunk, 100), () => response.destroy());
    });
    const { sink, breaks } = collector();
    await assert.rejects(follow(options(url, sink)), (error) => {
      assert.ok(error instanceof AppError);
      assert.equal(error.exitCode, 75);
      assert.match(error.message, /^Run 7 goes on, but .* no longer lets you follow it: Not you\. gcloud auth login/);
      assert.equal(error.hint, `dbt-remote attach ${RUN_ID}`);
      return true;
    });
    assert.equal(breaks(), 1);
    assert.ok(refusals >= 3, "one refusal may be a restart, or pass");
  }
});

test("a restarted server with another port and token is found again", async () => {
  const size = 400;
  const log = makeLog(size);
  const first = await serve((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(sse("log", { offset: 0, segments: log.segments(0, 100), nextOffset: 100 }, 100), () =>
      response.destroy(),
    );
  });
  const answer = breaking(log, size, 0);
  const second = await serve((request, response) => {
    if (request.headers.authorization === "Bearer new") return answer(request, response);
    response.writeHead(401, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { code: "unauthorized", message: "no" } }));
  });
  const { got, sink } = collector();
  let asked = 0;
  const reconnect = async () => {
    asked += 1;
    if (asked === 1) throw new AppError("server_not_found", "not up yet");
    return createClient({ baseUrl: second, token: asked === 2 ? "old" : "new", retryDelaysMs: [] });
  };
  await follow(options(first, sink, { reconnect }));
  assert.deepEqual(got, log.wanted);
  assert.ok(asked >= 3);
});

test("what asking again won't change is thrown at once; leaving rejects with its reason", async () => {
  const url = await serve((_, response) => {
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { code: "run_not_found", message: "There is no such run.", hint: "look" } }));
  });
  const { sink } = collector();
  await assert.rejects(
    follow(options(url, sink)),
    (error) => error instanceof AppError && error.code === "run_not_found" && error.hint === "look",
  );
  const open = await serve((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(sse("run", runView()));
  });
  const controller = new AbortController();
  const reason = new AppError("interrupted", "left");
  const following = follow(
    options(open, { ...sink, run: () => controller.abort(reason) }, { signal: controller.signal }),
  );
  await assert.rejects(following, (error) => error === reason);
});
