/** What proxies of tests have in common: two ends of one connection. */
import { connect, type Socket } from "node:net";

/** Connects what came in to another place; both ends are in `sockets` for as long as they are open, and end together. */
export function joinTo(inner: Socket, place: { readonly host?: string; readonly port: number }, sockets: Set<Socket>) {
  const outer = connect(place.port, place.host ?? "127.0.0.1");
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
}
