/** What stands before the instances of a service: one address, behind it whichever instance the test says. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { joinTo } from "../../join-sockets.ts";

export interface Balancer {
  readonly url: string;
  /** New connections go there from now on; undefined: nobody answers; a function: they wait for what it starts. */
  to(port: number | undefined | (() => Promise<number>)): void;
  close(): Promise<void>;
}

export async function startBalancer(): Promise<Balancer> {
  let target: number | undefined;
  let starting: (() => Promise<number>) | undefined;
  const sockets = new Set<Socket>();
  const server = createServer((inner) => {
    inner.on("error", () => undefined);
    const start = starting;
    starting = undefined;
    if (start !== undefined)
      start().then(
        (port) => joinTo(inner, { port }, sockets),
        () => inner.destroy(),
      );
    else if (target === undefined) inner.resetAndDestroy();
    else joinTo(inner, { port: target }, sockets);
  });

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    to(next) {
      target = typeof next === "function" ? undefined : next;
      starting = typeof next === "function" ? next : undefined;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
