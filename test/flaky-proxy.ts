/** A TCP proxy that can be told to fail as networks do, for any protocol. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { joinTo } from "./join-sockets.ts";

export interface FlakyProxy {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** Breaks every connection, and refuses new ones until `restore`. */
  cut(): void;
  /** Breaks every connection; new ones are let through. */
  reset(): void;
  restore(): void;
  close(): Promise<void>;
}

/** Stands before `HOST:PORT`. */
export async function startFlakyProxy(target: string): Promise<FlakyProxy> {
  const [host = "", port = ""] = target.split(":");
  const sockets = new Set<Socket>();
  let isCut = false;
  const reset = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
    sockets.clear();
  };
  const server = createServer((inner) => {
    if (isCut) {
      inner.resetAndDestroy();
      return;
    }
    joinTo(inner, { host, port: Number(port) }, sockets);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut() {
      isCut = true;
      reset();
    },
    reset,
    restore() {
      isCut = false;
    },
    async close() {
      isCut = true;
      reset();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
