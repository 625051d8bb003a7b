/** A server for those who mean harm, and what every answer to them has to be. */
import assert from "node:assert/strict";
import { startServer, type TestServer, tempFolder } from "../harness.ts";
import { countUntil, newCheckout, newGate, runOf, tokenOf } from "./gated.ts";

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export interface Target {
  readonly server: TestServer;
  /** A run that goes on for as long as the server: whatever is accepted by mistake only waits behind it. */
  readonly runId: string;
  /** Sends text and bytes as they are, all else as JSON. */
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Ends it; throws where it is gone already, or has told of an error that it did not expect. */
  stop(): Promise<void>;
}

export async function startTarget(): Promise<Target> {
  const server = await startServer({ home: tempFolder("home"), args: ["--max-runs", "1"] });
  const { id: runId } = await runOf(server, newCheckout(server).start(countUntil(newGate())), /^line 3 /m);
  return {
    server,
    runId,
    async send(method, path, body, headers = {}) {
      const isRaw = typeof body === "string" || body instanceof Uint8Array;
      const type = body instanceof Uint8Array ? "application/octet-stream" : "application/json";
      const response = await fetch(server.url + path, {
        method,
        headers: {
          authorization: `Bearer ${tokenOf(server)}`,
          ...(body === undefined ? {} : { "content-type": type }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
      });
      return { status: response.status, text: await response.text() };
    },
    async stop() {
      const { status } = await fetch(`${server.url}/check`);
      assert.equal(status, 200);
      const { stderr } = await server.stop();
      assert.doesNotMatch(stderr, /^\s+at |Error:/m);
    },
  };
}

export function assertRefused(what: string, { status, text }: Answer, wanted?: number): void {
  assert.ok(status >= 400 && status < 500, `${what}: ${status} ${text.slice(0, 500)}`);
  if (wanted !== undefined) assert.equal(status, wanted, `${what}: ${text.slice(0, 500)}`);
  const { error } = JSON.parse(text) as { error: { code: string; message: string } };
  assert.match(error.code, /^[a-z_]+$/, what);
  assert.ok(error.message.length > 10, `${what}: ${text}`);
  assertNoStack(text, what);
}

export function assertNoStack(text: string, what: string): void {
  assert.doesNotMatch(text, /node:internal|\\n\s+at |\.(ts|js):\d+/, what);
}

export const SHA: string = "0".repeat(64);
