/** What stands before the instances of a service: one address, behind it whichever instance the test says. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Balancer {
  readonly url: string;
  /** New connections go there from now on; undefined: nobody answers. */
  to(port: number | undefined): void;
  close(): Promise<void>;
}

export async function startBalancer(): Promise<Balancer> {
  let target: number | undefined;
  const sockets = new Set<Socket>();
  const server = createServer((inner) => {
    if (target === undefined) {
      inner.resetAndDestroy();
      return;
    }
    const outer = connect(target, "127.0.0.1");
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    to(port) {
      target = port;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
