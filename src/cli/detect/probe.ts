/** Looks at candidates, all at once, until a deadline: which are a dbt-server, and which want to know who asks first. */
import type { HttpFetch } from "../../api/http.ts";
import type { Candidate } from "./candidates.ts";
import { type CheckAnswer, checkServer } from "./check-server.ts";

export interface Probed {
  readonly candidate: Candidate;
  readonly answer: CheckAnswer;
  /** Whether it wanted to know who asks, and was to be shown an ID token. */
  readonly wasShown: boolean;
}

export interface ProbeParams {
  readonly candidates: readonly Candidate[];
  /** An ID token for one that wants to know who asks; undefined: it is told nothing. Default: none is. */
  readonly tokenFor?: (candidate: Candidate) => Promise<string | undefined>;
  readonly fetch: HttpFetch;
  /** For all of it. */
  readonly timeoutMs: number;
}

/** Enough that services which hang keep none of the others waiting. */
const AT_ONCE = 250;
/** Once one has said that it is a dbt-server, the others get this long to say so too. */
const OTHERS_MS = 600;

/** In the candidates' order. Those that have not answered in time are `silent`. */
export async function probe({ candidates, tokenFor, fetch, timeoutMs }: ProbeParams): Promise<Probed[]> {
  const stop = new AbortController();
  const timers = [setTimeout(() => stop.abort(), timeoutMs)];
  const results = new Map<Candidate, CheckAnswer>();
  const shown = new Set<Candidate>();
  const waiting = [...candidates];

  const look = async (candidate: Candidate): Promise<void> => {
    const { url } = candidate;
    const check = (headers: Record<string, string>) => checkServer({ url, headers, signal: stop.signal, fetch });
    let answer = await check({});
    if (answer === "refused" && tokenFor !== undefined && !stop.signal.aborted) {
      shown.add(candidate);
      const token = await tokenFor(candidate);
      if (token === undefined) shown.delete(candidate);
      else if (!stop.signal.aborted) answer = await check({ authorization: `Bearer ${token}` });
    }
    if (!stop.signal.aborted) results.set(candidate, answer);
    if (answer === "dbt-server") timers.push(setTimeout(() => stop.abort(), OTHERS_MS));
  };
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && !stop.signal.aborted; next = waiting.shift())
      await look(next);
  };

  const aborted = new Promise<void>((resolve) =>
    stop.signal.addEventListener("abort", () => resolve(), { once: true }),
  );
  try {
    // Not even a fetch that does not heed its signal holds it up.
    await Promise.race([Promise.all(Array.from({ length: AT_ONCE }, worker)), aborted]);
  } finally {
    for (const timer of timers) clearTimeout(timer);
    stop.abort();
  }
  return candidates.map((candidate) => ({
    candidate,
    answer: results.get(candidate) ?? "silent",
    wasShown: shown.has(candidate),
  }));
}
