/** HTTP below the client: identity headers, retries of what can be repeated, and AppErrors of the server's answers. */
import { AppError, isErrorCode } from "../core/errors.ts";
import { createNodeFetch } from "./node-fetch.ts";
import { headers as headerNames } from "./paths.ts";
import type { ErrorAnswer } from "./schemas/server.ts";

interface HttpInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
  /** A token must never follow a redirect to somewhere else. */
  readonly redirect: "manual";
}

interface HttpBody extends AsyncIterable<Uint8Array> {
  cancel(reason?: unknown): Promise<void>;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: HttpBody | null;
  text(): Promise<string>;
  json(): Promise<unknown>;
}

/** The part of `fetch` that is used, so that a proxying one can stand in. */
export type HttpFetch = (url: string, init: HttpInit) => Promise<HttpResponse>;

/** An answer by which a request was refused for who asked. */
export interface Refusal {
  readonly status: number;
  /** What dbt-server said; undefined where something in front of it answered. */
  readonly error: ErrorAnswer["error"] | undefined;
  /** The headers that it refers to: others may have come to be the right ones meanwhile. */
  readonly sent: Readonly<Record<string, string>>;
}

/** How a client shows who it is where that takes time to find out, or ends after a while. */
export interface Credentials {
  /** For the next request. */
  headers(): Promise<Readonly<Record<string, string>>>;
  /** Whether the request may succeed when it is sent again with other headers. */
  refused(refusal: Refusal): Promise<boolean>;
  /** What to do about a refusal that did not come from dbt-server. */
  hint(status: number): string | undefined;
}

export interface ClientOptions {
  /** Such as `http://127.0.0.1:8001`, without a slash at its end. */
  readonly baseUrl: string;
  /** Sent as a bearer token; never in a URL. */
  readonly token?: string | undefined;
  /** In place of `token`. */
  readonly credentials?: Credentials | undefined;
  readonly clientId?: string | undefined;
  readonly userLabel?: string | undefined;
  readonly fetch?: HttpFetch | undefined;
  /** Pauses between the tries of a repeatable request, in ms. */
  readonly retryDelaysMs?: readonly number[];
}

export interface HttpRequest {
  readonly signal?: AbortSignal | undefined;
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly accept?: string;
  /** False where doing it twice would differ from doing it once. */
  readonly repeatable?: boolean;
  /** Without token and names: for a server that has not proved who it is. */
  readonly anonymous?: boolean;
  /** Whether the answer may be elsewhere: it is then fetched from there, without token and names. */
  readonly mayBeElsewhere?: boolean;
}

export interface Http {
  readonly baseUrl: string;
  /** Resolves to a 2xx answer; throws an AppError for every other. */
  send(method: string, path: string, request?: HttpRequest): Promise<HttpResponse>;
  json<T>(method: string, path: string, request?: HttpRequest): Promise<T>;
}

const RETRY_DELAYS_MS = [100, 300, 1000, 2000];
/** By what is in front of the server, by the server, and for a token's age. */
const MAX_REFUSALS = 3;
/** Answers of proxies in front of a server that is away for a moment. */
const REPEATABLE_STATUSES = new Set([502, 504]);
const CODE_OF_STATUS = { 401: "unauthorized", 403: "forbidden", 404: "route_not_found", 413: "too_large" } as const;

/** Why a request failed below HTTP, such as `connect ECONNREFUSED 127.0.0.1:8001`. */
function networkReason(error: unknown): string {
  let at: unknown = error;
  for (let depth = 0; depth < 4; depth += 1) {
    const inner: unknown = at instanceof AggregateError ? at.errors[0] : at instanceof Error ? at.cause : undefined;
    if (!(inner instanceof Error)) break;
    at = inner;
  }
  return at instanceof Error ? at.message || at.name : String(at);
}

function parsedError(text: string): ErrorAnswer["error"] | undefined {
  try {
    const answer = JSON.parse(text) as Partial<ErrorAnswer> | null;
    return typeof answer?.error?.message === "string" ? answer.error : undefined;
  } catch {
    return undefined; // not from dbt-server: a proxy's page, say
  }
}

async function errorOf(what: string, response: HttpResponse, credentials?: Credentials): Promise<AppError> {
  const { status } = response;
  const answer = parsedError(await response.text().catch(() => ""));
  const known = Object.entries(CODE_OF_STATUS).find(([each]) => each === String(status))?.[1];
  if (answer === undefined) {
    const location = response.headers.get("location");
    const redirect = location === null ? "" : `, a redirect to ${location}`;
    return new AppError(known ?? "server_unreachable", `${what} was answered with HTTP ${status}${redirect}.`, {
      hint: credentials?.hint(status) ?? "Check that the URL is a dbt-server's.",
    });
  }
  const { hint, details } = answer;
  const code = isErrorCode(answer.code) ? answer.code : (known ?? (status < 500 ? "bad_request" : "internal"));
  return new AppError(code, answer.message, { ...(hint ? { hint } : {}), ...(details ? { details } : {}) });
}

/** Resolves after a while; rejects with the signal's reason when that comes first. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", leave);
      resolve();
    }, ms);
    if (signal?.aborted) leave();
    else signal?.addEventListener("abort", leave, { once: true });
  });
}

export function createHttp(options: ClientOptions): Http {
  const { baseUrl, token, credentials, clientId, userLabel, retryDelaysMs = RETRY_DELAYS_MS } = options;
  const fetchUrl = options.fetch ?? createNodeFetch();
  const identity: Record<string, string> = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(clientId === undefined ? {} : { [headerNames.client]: clientId }),
    ...(userLabel === undefined ? {} : { [headerNames.user]: userLabel }),
  };

  const once = async (
    method: string,
    path: string,
    request: HttpRequest,
    credential: Readonly<Record<string, string>>,
  ): Promise<HttpResponse> => {
    const { json, bytes, signal } = request;
    const body = json === undefined ? bytes : JSON.stringify(json);
    const type = json === undefined ? "application/octet-stream" : "application/json";
    const shown = request.anonymous ? {} : { ...identity, ...credential };
    try {
      return await fetchUrl(baseUrl + path, {
        method,
        redirect: "manual",
        headers: {
          accept: request.accept ?? "application/json",
          ...(body === undefined ? {} : { "content-type": type }),
          ...shown,
          ...request.headers,
        },
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw new AppError("server_unreachable", `${baseUrl} can't be reached: ${networkReason(error)}.`, {
        hint: "Check that dbt-server runs there, and the network in between.",
        cause: error,
      });
    }
  };

  /** Where a redirect leads, once; a server of the network can lead to none of this machine's own. */
  const elsewhere = async (response: HttpResponse, { accept = "*/*", signal }: HttpRequest): Promise<HttpResponse> => {
    const location = response.headers.get("location");
    if (response.status !== 302 || location === null) return response;
    const { protocol, hostname } = new URL(location, baseUrl);
    if (protocol !== "https:" && hostname !== new URL(baseUrl).hostname) return response;
    await response.body?.cancel();
    const headers = { accept };
    try {
      return await fetchUrl(location, { method: "GET", redirect: "manual", headers, ...(signal && { signal }) });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      const problem = `${new URL(location, baseUrl).origin}, where the server sent us, can't be reached: ${networkReason(error)}.`;
      throw new AppError("server_unreachable", problem, { cause: error });
    }
  };

  /** Sends it again where who asks was in doubt and can be shown better. What was refused was not done. */
  const convincing = async (method: string, path: string, request: HttpRequest): Promise<HttpResponse> => {
    for (let refusals = 0; ; refusals += 1) {
      const sent = request.anonymous ? {} : ((await credentials?.headers()) ?? {});
      const response = await once(method, path, request, sent);
      const { status, headers } = response;
      if ((status !== 401 && status !== 403) || credentials === undefined || request.anonymous) return response;
      const text = await response.text().catch(() => "");
      const mayTryAgain = await credentials.refused({ status, error: parsedError(text), sent });
      if (mayTryAgain && refusals < MAX_REFUSALS) continue;
      return { status, headers, body: null, text: async () => text, json: async () => JSON.parse(text) as unknown };
    }
  };

  const send = async (method: string, path: string, request: HttpRequest = {}): Promise<HttpResponse> => {
    for (let attempt = 0; ; attempt += 1) {
      const delayMs = request.repeatable === false ? undefined : retryDelaysMs[attempt];
      try {
        const first = await convincing(method, path, request);
        const response = request.mayBeElsewhere === true ? await elsewhere(first, request) : first;
        if (response.status >= 200 && response.status < 300) return response;
        if (delayMs === undefined || !REPEATABLE_STATUSES.has(response.status)) {
          throw await errorOf(`${method} ${baseUrl}${path}`, response, credentials);
        }
        await response.body?.cancel();
      } catch (error) {
        const isNetwork = error instanceof AppError && error.cause !== undefined;
        if (delayMs === undefined || !isNetwork) throw error;
      }
      await pause(delayMs, request.signal);
    }
  };

  const json = async <T>(method: string, path: string, request: HttpRequest = {}): Promise<T> => {
    const response = await send(method, path, request);
    try {
      return (await response.json()) as T;
    } catch (error) {
      if (request.signal?.aborted) throw request.signal.reason;
      throw new AppError("server_unreachable", `The answer to ${method} ${baseUrl}${path} is no JSON.`, {
        hint: "Check that the URL is a dbt-server's.",
        cause: error,
      });
    }
  };

  return { baseUrl, send, json };
}
