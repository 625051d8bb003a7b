/** An HTTP server whose answers a test writes, one request after the other. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface StandInAnswer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | string | object;
  /** Instead of an answer: the connection breaks, at once or behind the first bytes of the body, or nothing comes. */
  readonly fault?: "reset" | "cut-body" | "silence";
}

export interface HttpStandIn {
  readonly url: string;
  readonly seen: readonly SeenRequest[];
  close(): Promise<void>;
}

/** `answer` is called with each request, in order. */
export async function startHttpStandIn(
  answer: (request: SeenRequest, number: number) => StandInAnswer | Promise<StandInAnswer>,
): Promise<HttpStandIn> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    void respond(request, response).catch((error: unknown) => response.destroy(error as Error));
  });

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url = "", headers } = request;
    const one: SeenRequest = { method, url, headers, body: Buffer.concat(chunks) };
    seen.push(one);
    const { status = 200, headers: own = {}, body = "", fault } = await answer(one, seen.length);
    if (fault === "reset") return void request.socket.resetAndDestroy();
    if (fault === "silence") return;
    const isPlain = typeof body === "string" || body instanceof Uint8Array;
    const bytes = isPlain ? Buffer.from(body as Uint8Array) : Buffer.from(JSON.stringify(body));
    response.writeHead(status, { "content-length": bytes.length, ...own });
    if (fault !== "cut-body") return void response.end(bytes);
    response.write(bytes.subarray(0, bytes.length >>> 1), () => request.socket.resetAndDestroy());
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
