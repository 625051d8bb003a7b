/**
 * Follows one log many times over at once, in a process of its own: `follow-many.ts URL COUNT`. Prints one JSON object.
 * What arrives is only stamped while it arrives, and read afterwards, so that reading delays nothing.
 */
import { createHash } from "node:crypto";
import { connect } from "node:net";
import { latencyOf } from "./latency.ts";

interface Follower {
  readonly chunks: { readonly at: number; readonly bytes: Buffer }[];
  readonly done: Promise<void>;
}

function follow(url: URL): Follower {
  const chunks: { at: number; bytes: Buffer }[] = [];
  const socket = connect(Number(url.port), url.hostname);
  socket.setNoDelay(true);
  socket.on("data", (bytes) => chunks.push({ at: Date.now() / 1000, bytes }));
  socket.write(
    `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n`,
  );
  const done = new Promise<void>((resolve, reject) => socket.on("error", reject).on("close", () => resolve()));
  return { chunks, done };
}

interface Read {
  readonly bytes: Buffer;
  readonly ended: boolean;
  readonly lines: (readonly [number, string])[];
}

/** Takes the events of one follower apart; each line has the time at which its last byte came. */
function read(follower: Follower): Read {
  const lines: (readonly [number, string])[] = [];
  const parts: Buffer[] = [];
  let rest = "";
  let partial = "";
  let ended = false;
  for (const { at, bytes } of follower.chunks) {
    rest += bytes.toString("latin1");
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const frame = rest.slice(0, end);
      rest = rest.slice(end + 2);
      const data = /^data: ?(.*)$/m.exec(frame)?.[1];
      const type = /^event: ?(.*)$/m.exec(frame)?.[1];
      if (type === "end") ended = true;
      if (type !== "log" || data === undefined) continue;
      const chunk = JSON.parse(data) as { segments: { bytes: string }[] };
      const decoded = Buffer.concat(chunk.segments.map((segment) => Buffer.from(segment.bytes, "base64")));
      parts.push(decoded);
      const whole = (partial + decoded.toString("utf8")).split("\n");
      partial = whole.pop() ?? "";
      lines.push(...whole.map((line) => [at, line] as const));
    }
  }
  return { bytes: Buffer.concat(parts), ended, lines };
}

const [url = "", count = "1"] = process.argv.slice(2);
const followers = Array.from({ length: Number(count) }, () => follow(new URL(url)));
await Promise.all(followers.map((follower) => follower.done));
const digests: Record<string, number> = {};
let ended = 0;
const arrivals: (readonly [number, string])[] = [];
for (const follower of followers) {
  const { bytes, lines, ended: whole } = read(follower);
  const digest = createHash("sha256").update(bytes).digest("hex");
  digests[digest] = (digests[digest] ?? 0) + 1;
  if (whole) ended++;
  arrivals.push(...lines);
}
console.log(JSON.stringify({ digests, ended, latency: latencyOf(arrivals) }));
