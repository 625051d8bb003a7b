/** HTTP through a proxy where the environment names one; loopback is never proxied. */
import type { HttpFetch } from "../api/http.ts";
import type { Env } from "./context.ts";
import { isLoopbackUrl } from "./loopback.ts";

function isExcepted(host: string, port: string, exceptions: string): boolean {
  return exceptions
    .split(/[\s,]+/)
    .filter((each) => each !== "")
    .some((each) => {
      if (each === "*") return true;
      const [, name = each, only] = /^(.*?)(?::(\d+))?$/.exec(each) ?? [];
      if (only !== undefined && only !== port) return false;
      const suffix = name.replace(/^\*?\./, "").toLowerCase();
      return host === suffix || host.endsWith(`.${suffix}`);
    });
}

/** The proxy for a URL, in the lower-case or upper-case variable as curl reads them. Pure. */
export function proxyFor(url: string, env: Env): string | undefined {
  const { protocol, hostname, port } = new URL(url);
  if (isLoopbackUrl(url)) return undefined;
  const exceptions = env["no_proxy"] ?? env["NO_PROXY"] ?? "";
  if (isExcepted(hostname.toLowerCase(), port || (protocol === "https:" ? "443" : "80"), exceptions)) return undefined;
  const named =
    protocol === "https:" ? (env["https_proxy"] ?? env["HTTPS_PROXY"]) : (env["http_proxy"] ?? env["HTTP_PROXY"]);
  const proxy = named || env["all_proxy"] || env["ALL_PROXY"];
  if (proxy === undefined || proxy === "") return undefined;
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(proxy) ? proxy : `http://${proxy}`;
}

/** A fetch that goes through the proxy; undefined where Node's own does. */
export async function fetchFor(url: string, env: Env): Promise<HttpFetch | undefined> {
  const proxy = proxyFor(url, env);
  if (proxy === undefined) return undefined;
  const { ProxyAgent, fetch } = await import("undici");
  const dispatcher = new ProxyAgent(proxy);
  return (target, init) => fetch(target, { ...init, dispatcher });
}
