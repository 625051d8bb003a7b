/** One reader of a stream: its socket, its place, and what it has been told. */
import type { ServerResponse } from "node:http";
import { frameOf, PING_FRAME } from "./frames.ts";

export interface FollowerParams {
  readonly response: ServerResponse;
  readonly offset: number;
  readonly timeoutMs: number;
  /** Called when the socket takes bytes again. */
  readonly onReady: () => void;
  /** Called once, however the reader went. */
  readonly onGone: () => void;
}

export interface Follower {
  /** Offset of the next byte to send. */
  offset: number;
  /** Whether everything up to the last change has been sent. */
  isIdle: boolean;
  /** The last view that was sent, as text. */
  sentView: string;
  sentDbtFinished: boolean;
  /** False while the socket has more than it can send, and for good after the end. */
  readonly takesBytes: boolean;
  send(frame: Uint8Array): void;
  /** Sends a ping unless something was sent since. */
  ping(quietSinceMs: number): void;
  /** Sends the last frame and closes. */
  end(frame: Uint8Array): void;
  /** Ends the stream for the reader to resume it. */
  timeOut(): void;
  /** Breaks the connection. */
  drop(): void;
}

/** A socket that takes nothing is cut off this long after the stream's end. */
const LAST_BYTES_MS = 10_000;

const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-transform",
  // Says to proxies that know it: pass on each line as it comes.
  "x-accel-buffering": "no",
};

export function createFollower({ response, offset, timeoutMs, onReady, onGone }: FollowerParams): Follower {
  let isBlocked = false;
  let isEnded = false;
  let isGone = false;
  let lastSentMs = Date.now();

  response.writeHead(200, HEADERS);
  response.flushHeaders();
  const timer = setTimeout(() => follower.timeOut(), timeoutMs);

  const gone = (): void => {
    if (isGone) return;
    isGone = true;
    isEnded = true;
    clearTimeout(timer);
    onGone();
  };
  response.on("drain", () => {
    isBlocked = false;
    onReady();
  });
  response.on("close", gone);
  // The close that follows says all there is to know.
  response.on("error", () => {});

  const follower: Follower = {
    offset,
    isIdle: false,
    sentView: "",
    sentDbtFinished: false,
    get takesBytes() {
      return !isBlocked && !isEnded;
    },
    send(frame) {
      if (isEnded) return;
      lastSentMs = Date.now();
      if (!response.write(frame)) isBlocked = true;
    },
    ping(quietSinceMs) {
      if (!isBlocked && lastSentMs <= quietSinceMs) follower.send(PING_FRAME);
    },
    end(frame) {
      if (isEnded) return;
      isEnded = true;
      response.end(frame);
      setTimeout(() => response.destroy(), LAST_BYTES_MS).unref();
      gone();
    },
    timeOut: () => follower.end(frameOf("timeout", {})),
    drop: () => response.destroy(),
  };
  return follower;
}
