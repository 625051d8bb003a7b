/** A server whose logs the tests write, and readers that follow them. */
import assert from "node:assert/strict";
import { get, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { LogChunk, LogEnd } from "../src/api/schemas/logs.ts";
import { type SseMessage, sseParser } from "../src/api/sse.ts";
import { createAuth } from "../src/server/auth.ts";
import type { LogChannel, LogWriter } from "../src/state/port.ts";
import { newRun } from "./new-run.ts";
import { startService, type TestService, type TestServiceOptions } from "./service-fixture.ts";

/** For a server whose job is the test, and has no heart. */
export const patience = { heartMs: 600_000 };
const HEADERS = { authorization: "Bearer t", accept: "text/event-stream" };

/** A server with a port of its own. */
export interface Served extends TestService {
  readonly port: number;
}

export async function serve(options: TestServiceOptions = {}): Promise<Served> {
  const server = await startService({ auth: createAuth("token", "t"), patience, ...options });
  await server.app.listen({ host: "127.0.0.1", port: 0 });
  return { ...server, port: (server.app.server.address() as AddressInfo).port };
}

interface WrittenRun {
  readonly runId: string;
  readonly writer: LogWriter;
  /** Ends the log, and the run as a success. */
  finish(): Promise<void>;
}

/** A run whose log the test itself writes. */
export async function aRun(server: TestService): Promise<WrittenRun> {
  const run = newRun({ requester: { id: "token", label: "t" }, profileFrom: "none", target: null });
  const runId = run.id;
  await server.stores.runs.create(run);
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

/** Writes to a log. */
export function append(writer: LogWriter, text: string | Buffer, channel: LogChannel = "out"): Promise<void> {
  return writer.append([{ channel, timeMs: Date.now(), bytes: Buffer.from(text) }]);
}

/** Asks as a reader does that follows. */
export function connect(port: number, path: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
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
export async function follow(
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
