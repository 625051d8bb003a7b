/** Calls to Google's REST interfaces: authenticated, repeated where that helps, failures told apart from answers. */
import { AppError } from "../core/errors.ts";
import type { AccessTokens } from "./auth.ts";
import { mayPass, PATIENT, RetryLater, type RetryPolicy, reasonOf, untilItPasses } from "./retry.ts";

export interface RestRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Statuses beside 2xx that are answers to the caller. */
  readonly answers?: readonly number[];
  /** For messages: "writing the object x". */
  readonly doing: string;
  /** What the caller's identity needs for it, told where Google refuses: "roles/storage.objectUser on bucket b". */
  readonly needs: string;
  /** Whether an answer that is not JSON, such as a page of something in between, is a failure, which may pass. */
  readonly isJson?: boolean;
  /** How long the answer may take to begin, and how long its body may stand still. Default: 30 s. */
  readonly timeoutMs?: number;
}

interface AnswerHead {
  readonly status: number;
  readonly headers: Headers;
  /** True where an earlier attempt may have been carried out although its answer never came. */
  readonly isRepeat: boolean;
}

export interface RestAnswer extends AnswerHead {
  readonly body: Buffer;
  /** The body; undefined where it is no JSON. */
  json(): unknown;
}

export interface StreamedAnswer extends AnswerHead {
  /** To be read to its end or returned from. Throws `RetryLater` where it breaks off. */
  readonly body: AsyncGenerator<Uint8Array>;
}

/** Both resolve to an answer, 2xx or one of `answers`, and reject with `AppError` for everything else. */
export interface Rest {
  request(request: RestRequest): Promise<RestAnswer>;
  /** For large bodies: resolves when the answer begins. What breaks off later is for the caller to go on with. */
  open(request: RestRequest): Promise<StreamedAnswer>;
}

export interface RestParams {
  /** None: requests go without a token, as emulators take them. */
  readonly tokens?: AccessTokens;
  readonly retry?: RetryPolicy;
  readonly fetch?: typeof fetch;
}

const TIMEOUT_MS = 30_000;

export function createRest({ tokens, retry = PATIENT, fetch: send = fetch }: RestParams): Rest {
  async function attempt(request: RestRequest, isRepeat: boolean): Promise<StreamedAnswer> {
    const token = await tokens?.get();
    const watchdog = createWatchdog(request.timeoutMs ?? TIMEOUT_MS);
    try {
      const response = await send(request.url, {
        method: request.method,
        // What a resumable upload answers between two parts looks like a redirection.
        redirect: "manual",
        signal: watchdog.signal,
        headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...request.headers },
        ...(request.body !== undefined && { body: request.body }),
      });
      const { status, headers } = response;
      if (!response.ok && !request.answers?.includes(status)) throw await failure(request, response);
      return { status, headers, isRepeat, body: bodyOf(request, response, watchdog) };
    } catch (error) {
      watchdog.stop();
      if (error instanceof AppError || error instanceof RetryLater) throw error;
      throw new RetryLater(unreachable(request, error));
    }
  }

  /** What this failed answer means: an error to repeat on, or one to report. */
  async function failure(request: RestRequest, response: Response): Promise<AppError | RetryLater> {
    const { status } = response;
    const { message, reasons } = await explain(response);
    const isRateLimit = status === 403 && reasons.some((reason) => /rateLimitExceeded/i.test(reason));
    const error = refusal(request, status, message, isRateLimit);
    if (status === 401 && tokens !== undefined && tokens.renew()) return new RetryLater(error);
    if (mayPass(status) || isRateLimit) return new RetryLater(error, retryAfterMs(response));
    return error;
  }

  function repeatedly<T>(request: RestRequest, action: (answer: StreamedAnswer) => Promise<T>): Promise<T> {
    return untilItPasses(retry, async ({ isRepeat }) => action(await attempt(request, isRepeat)));
  }

  return {
    request: (request) =>
      repeatedly(request, async ({ status, headers, isRepeat, body: stream }) => {
        const parts: Uint8Array[] = [];
        for await (const part of stream) parts.push(part);
        const body = Buffer.concat(parts);
        const isAnswer = status < 300 && body.length > 0;
        if (request.isJson === true && isAnswer && parseJson(body) === undefined) throw new RetryLater(noJson(request));
        return { status, headers, isRepeat, body, json: () => parseJson(body) };
      }),
    open: (request) => repeatedly(request, async (answer) => answer),
  };
}

async function* bodyOf(request: RestRequest, response: Response, watchdog: Watchdog): AsyncGenerator<Uint8Array> {
  try {
    if (response.body === null) return;
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      watchdog.feed();
      yield chunk;
    }
  } catch (error) {
    throw new RetryLater(unreachable(request, error));
  } finally {
    watchdog.stop();
  }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}

interface Watchdog {
  readonly signal: AbortSignal;
  feed(): void;
  stop(): void;
}

/** Ends a request that has stood still for too long. */
function createWatchdog(timeoutMs: number): Watchdog {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new Error(`no answer for ${timeoutMs / 1000} s`)), timeoutMs);
  timer.unref();
  return { signal: controller.signal, feed: () => timer.refresh(), stop: () => clearTimeout(timer) };
}

async function explain(response: Response): Promise<{ message: string; reasons: string[] }> {
  const text = await response.text().catch(() => "");
  try {
    const { error } = JSON.parse(text) as { error?: { message?: unknown; errors?: { reason?: unknown }[] } };
    const reasons = (error?.errors ?? []).map(({ reason }) => String(reason));
    return { message: String(error?.message ?? text.slice(0, 300)), reasons };
  } catch {
    return { message: text.slice(0, 300).trim() || `HTTP ${response.status}`, reasons: [] };
  }
}

function refusal(request: RestRequest, status: number, message: string, isRateLimit: boolean): AppError {
  const { doing, needs, url } = request;
  if (status === 403 && !isRateLimit) {
    return new AppError("forbidden", `Google refused ${doing}: ${message}`, {
      hint: `Grant the service account that this runs as: ${needs}`,
    });
  }
  if (status === 401) {
    return new AppError("state_unavailable", `Google did not accept the credentials for ${doing}: ${message}`, {
      hint: "Check the service account this runs as; on your own machine: gcloud auth application-default login",
    });
  }
  const { host } = new URL(url);
  return new AppError("state_unavailable", `Google (${host}) answered ${doing} with ${status}: ${message}`, {
    ...(mayPass(status) || isRateLimit ? { hint: status === 429 || isRateLimit ? FEWER : LATER } : {}),
    ...(status < 500 && status !== 429 && { details: { status } }),
  });
}

const LATER = "Try again. If it lasts: https://status.cloud.google.com";
const FEWER = "Try again in a minute. If it lasts, ask for more: https://console.cloud.google.com/iam-admin/quotas";

function noJson({ doing, url }: RestRequest): AppError {
  const message = `${new URL(url).host} answered ${doing} with something that is no JSON.`;
  return new AppError("state_unavailable", message, {
    hint: `See that nothing on the way answers in place of it. ${LATER}`,
  });
}

function unreachable({ doing, url }: RestRequest, error: unknown): AppError {
  const { host } = new URL(url);
  return new AppError("state_unavailable", `${host} could not be reached for ${doing}: ${reasonOf(error)}`, {
    hint: `See that this network lets ${host} be reached. ${LATER}`,
    cause: error,
  });
}

function retryAfterMs(response: Response): number | undefined {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds * 1000 : undefined;
}
