/** Whether a dbt-server is at a URL: its own words, and nothing that looks like them. */
import type { HttpFetch, HttpResponse } from "../../api/http.ts";
import { paths } from "../../api/paths.ts";

/** `refused`: something there wants to know who asks. `silent`: no answer in time, or none at all. */
export type CheckAnswer = "dbt-server" | "refused" | "another" | "silent";

export interface CheckParams {
  /** Without a slash at its end. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly fetch: HttpFetch;
}

const RUNNING = /^Running dbt-server on port \d{1,5}$/;
const MAX_ANSWER = 4096;

/** Never rejects. Follows no redirect, and reads no more than such an answer has. */
export async function checkServer({ url, headers, signal, fetch }: CheckParams): Promise<CheckAnswer> {
  try {
    const init = {
      method: "GET",
      redirect: "manual",
      headers: { accept: "application/json", ...headers },
      signal,
    } as const;
    const response = await fetch(url + paths.check, init);
    const { status } = response;
    if (status !== 200) {
      await response.body?.cancel();
      return status === 401 || status === 403 ? "refused" : "another";
    }
    const answer = JSON.parse(await beginning(response)) as { response?: unknown } | null;
    const said = answer?.response;
    return typeof said === "string" && RUNNING.test(said) ? "dbt-server" : "another";
  } catch (error) {
    return error instanceof SyntaxError ? "another" : "silent";
  }
}

async function beginning({ body }: HttpResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop ends the connection.
  for await (const chunk of body ?? []) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_ANSWER) throw new SyntaxError("too long");
  }
  return Buffer.concat(chunks).toString("utf8");
}
