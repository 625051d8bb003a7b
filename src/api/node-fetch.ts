/** What the client needs of `fetch`, over Node's own HTTP client: loading Node's `fetch` takes longer than a short command. */
import type { Agent, IncomingMessage } from "node:http";
import type { HttpFetch, HttpResponse } from "./http.ts";

/** As long as `fetch` would wait for a server that says nothing. */
const SILENCE_MS = 300_000;

/** Connections are kept for the next request. */
export function createNodeFetch(): HttpFetch {
  const agents = new Map<string, Agent>();
  return (url, { method, headers, body, signal }) => {
    const target = new URL(url);
    // An import statement would read everything that the module exports, and so load what is exported lazily.
    const http = process.getBuiltinModule(target.protocol === "https:" ? "node:https" : "node:http");
    const agent = agents.get(target.protocol) ?? new http.Agent({ keepAlive: true });
    agents.set(target.protocol, agent);
    return new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
      const options = { method, agent, headers: { ...headers, ...length } };
      const sent = http.request(target, options, (message) => resolve(responseOf(message)));
      sent.on("error", reject);
      // Not as an option: Node would bind the connection to it as well, which is kept for other requests.
      const giveUp = (): void => void sent.destroy();
      if (signal?.aborted) giveUp();
      signal?.addEventListener("abort", giveUp, { once: true });
      sent.once("close", () => signal?.removeEventListener("abort", giveUp));
      sent.setTimeout(SILENCE_MS, () => sent.destroy(new Error(`no answer in ${SILENCE_MS / 1000} s`)));
      sent.end(body);
    });
  };
}

function responseOf(message: IncomingMessage): HttpResponse {
  const text = async (): Promise<string> => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of message) chunks.push(chunk as Uint8Array);
    return Buffer.concat(chunks).toString("utf8");
  };
  // Someone who does not read on hears no more of the connection.
  message.on("error", () => {});
  return {
    status: message.statusCode ?? 0,
    headers: {
      get(name) {
        const value = message.headers[name.toLowerCase()];
        return value === undefined ? null : String(value);
      },
    },
    body: {
      [Symbol.asyncIterator]: () => message[Symbol.asyncIterator](),
      async cancel() {
        message.destroy();
      },
    },
    text,
    json: async () => JSON.parse(await text()) as unknown,
  };
}
