/** Names of the loopback interface, as `--host` and as a request's Host and Origin. */

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "::1", "[::1]"]);

/** Whether only this machine can reach a server that listens there. */
export function isLoopbackHost(host: string): boolean {
  return LOOPBACK_NAMES.has(host.toLowerCase()) || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Whether a Host header is a loopback name with this port: a page of another site that resolves to us is not. */
export function isLoopbackAuthority(authority: string | undefined, port: number): boolean {
  const match = /^(\[[0-9a-f:]+\]|[^:[\]]+)(?::(\d{1,5}))?$/i.exec(authority ?? "");
  if (match === null) return false;
  const [, name = "", given = "80"] = match;
  return LOOPBACK_NAMES.has(name.toLowerCase()) && Number(given) === port;
}

/** Whether a browser's Origin is this server's own. */
export function isOwnOrigin(origin: string, port: number): boolean {
  const match = /^http:\/\/([^/]+)$/.exec(origin);
  return match !== null && isLoopbackAuthority(match[1], port);
}

/** How a URL writes this host. */
export function urlHost(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}
