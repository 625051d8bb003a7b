/** The last thing a job does on Google Cloud: where runs wait for their turn, it wakes a server to launch the next. */
import { paths } from "../api/paths.ts";
import type { Stores } from "../state/stores.ts";

export interface WakeParams {
  readonly stores: Pick<Stores, "runs">;
  /** The server's URL; undefined where the deployment names none. */
  readonly url: string | undefined;
  /** A token that the server takes; undefined: none is sent. */
  readonly token: (audience: string) => Promise<string | undefined>;
  readonly fetch?: typeof fetch;
}

/** A server that has to start takes some seconds. */
const TIMEOUT_MS = 20_000;
/** Few: it is paid for by the second. */
const TRIES = 3;
const PAUSE_MS = 500;

/** Resolves to what went wrong, for the job's own output: the next tick or request makes up for it. */
export async function wakeServer({ stores, url, token, fetch: send = fetch }: WakeParams): Promise<string | undefined> {
  if (url === undefined) return undefined;
  try {
    if ((await stores.runs.list({ statuses: ["pending"], limit: 1 })).length === 0) return undefined;
    const bearer = await token(url);
    for (let tries = 1; ; tries += 1) {
      const answer = await post(send, url, bearer);
      if (answer === undefined) return undefined;
      if (!answer.mayPass || tries === TRIES) return `${url} was not woken: ${answer.problem}.`;
      await new Promise((resume) => setTimeout(resume, PAUSE_MS * tries * (0.5 + Math.random())));
    }
  } catch (error) {
    return `${url} was not woken: ${error instanceof Error ? error.message : error}.`;
  }
}

/** Undefined where all was well. */
async function post(
  send: typeof fetch,
  url: string,
  bearer: string | undefined,
): Promise<{ readonly problem: string; readonly mayPass: boolean } | undefined> {
  try {
    const response = await send(`${url}${paths.reconcile}`, {
      method: "POST",
      headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.arrayBuffer();
    const { ok, status } = response;
    return ok ? undefined : { problem: `it answered ${status}`, mayPass: status === 429 || status >= 500 };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return { problem: cause instanceof Error ? cause.message : String(cause), mayPass: true };
  }
}
