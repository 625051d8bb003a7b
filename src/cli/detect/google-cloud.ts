/**
 * Finds the dbt-server among the Cloud Run services of the user's own project. Nothing is told to a service who asks, unless
 * it wants to know and either has the label of a dbt-server or the user agrees.
 */
import { SERVER_LABEL } from "../../core/google-labels.ts";
import type { IdTokens } from "../../gcp/id-tokens.ts";
import { ask, canAsk } from "../ask.ts";
import type { CliContext } from "../context.ts";
import { isLoopbackUrl } from "../loopback.ts";
import type { Settings } from "../settings.ts";
import { type Candidate, candidatesOf } from "./candidates.ts";
import { checkServer } from "./check-server.ts";
import { fetchThrough, hasGcloud, idTokensOf, ownProject, servicesOf } from "./google.ts";
import { type Access, type CloudPlace, OPEN, rememberChoice, rememberedChoice } from "./known-servers.ts";
import { listedBefore, noneFound, notConfigured, severalFound, tooSlow } from "./messages.ts";
import { type Probed, probe } from "./probe.ts";

export interface DetectOptions {
  /** For everything but the time that the user takes to answer. Default: 2.8 s. */
  readonly deadlineMs?: number;
  /** For one service that is most likely the server, and is starting. Default: 15 s. */
  readonly startingMs?: number;
}

export interface DetectedServer {
  readonly url: string;
  readonly access: Access;
  /** It has no label, and the user did not say that it may know who asks. */
  readonly isDoubtful: boolean;
}

/** What is promised is 3 s. */
export const DEADLINE_MS = 2_800;
/** Of which the services themselves get at least this. */
const PROBES_MS = 900;
/** A container that nobody has used for a while takes some seconds to be there. */
const STARTING_MS = 15_000;
const UNLABELLED_MS = 500;
/** A server that was found before is looked at again only for as long as nobody notices. */
const AGAIN_MS = 700;
/** More services than this are not asked about one by one. */
const MOST_QUESTIONS = 3;

/** Rejects with `server_not_found` and what to type where there is none, or more than one. */
export async function detectOnGoogleCloud(
  context: CliContext,
  settings: Settings,
  { deadlineMs = DEADLINE_MS, startingMs = STARTING_MS }: DetectOptions = {},
): Promise<DetectedServer> {
  const { env } = context;
  const startedAt = performance.now();
  const left = (): number => Math.max(0, deadlineMs - (performance.now() - startedAt));
  const fetch = fetchThrough(env);
  const said = settings.values.projectId;
  const projectId = said ?? (await within(ownProject(env), deadlineMs - PROBES_MS, () => undefined));
  if (projectId === undefined) throw notConfigured(context.platform, await hasGcloud(env), undefined);
  const place: CloudPlace = { projectId, location: settings.values.location };

  const remembered = await rememberedChoice(env, place);
  if (remembered?.isTaken) {
    const { url } = remembered;
    const answer = await checkServer({ url, headers: {}, fetch, signal: AbortSignal.timeout(AGAIN_MS) });
    const access = { ...OPEN, front: answer === "refused", isOurs: true };
    // A server that starts may take longer than this: only one that is not there is looked for anew.
    if (answer !== "another") return { url, access, isDoubtful: false };
  }

  const identity = idTokensOf(env);
  // A person's takes gcloud a second, which is now well spent: it is shown to nobody yet.
  identity.then((tokens) => (tokens?.audience === "gcloud" ? tokens.get("") : undefined)).catch(() => undefined);
  const listed = await within(servicesOf(env, place), left() - PROBES_MS, () => {
    throw tooSlow(projectId);
  }).catch((error: unknown) => {
    throw listedBefore(error, place);
  });
  if (listed === undefined) throw notConfigured(context.platform, await hasGcloud(env), projectId);
  const candidates = candidatesOf(listed.services, (url) => new URL(url).protocol === "https:" || isLoopbackUrl(url));
  const [labelled, others] = [true, false].map((wanted) =>
    candidates.filter(({ isLabelled }) => isLabelled === wanted),
  );
  let problem: unknown = listed.failure === undefined ? undefined : listedBefore(listed.failure, place);
  const tokenFor = async ({ url }: Candidate): Promise<string | undefined> => {
    try {
      return await (await identity)?.get(url);
    } catch (error) {
      // Told only where it matters: another service may be the server, and want no token.
      problem ??= error;
      return undefined;
    }
  };

  let probed = await probe({
    ...{ candidates: labelled ?? [], fetch, tokenFor },
    timeoutMs: others?.length === 0 ? left() : left() - UNLABELLED_MS,
  });
  if (!probed.some(isServer)) {
    const more = await probe({ candidates: others ?? [], fetch, timeoutMs: left() });
    probed = [...probed, ...more];
    if (!more.some(isServer)) probed = [...probed, ...(await askAndProbe(context, settings, more, identity, tokenFor))];
  }

  // Google has answered for it and let the token pass: now it is its own turn, and there is nothing else to wait for.
  const starting = probed.filter(
    ({ answer, wasShown, candidate }) => candidate.isLabelled && answer === "silent" && wasShown,
  );
  if (starting.length === 1 && !probed.some(isServer)) {
    const again = await probe({
      candidates: starting.map(({ candidate }) => candidate),
      fetch,
      tokenFor,
      timeoutMs: startingMs,
    });
    probed = [...probed.filter((each) => each !== starting[0]), ...again];
  }

  const servers = probed.filter(isServer);
  const [server] = servers;
  if (server === undefined) throw problem ?? noneFound(place, probed);
  if (servers.length > 1) throw severalFound(servers.map(({ candidate }) => candidate));
  const { url, name, region, isLabelled } = server.candidate;
  const offer = { url, name, region, wasAsked: remembered?.url === url };
  const isTaken = await offerToRemember(context, settings, place, offer);
  const isDoubtful = !isLabelled && !server.wasShown && !isTaken;
  return { url, access: { ...OPEN, front: server.wasShown, isOurs: !isDoubtful }, isDoubtful };
}

const isServer = ({ answer }: Probed): boolean => answer === "dbt-server";

/** Services without the label that want to know who asks: the user may say that they are to be told. */
async function askAndProbe(
  context: CliContext,
  settings: Settings,
  probed: readonly Probed[],
  identity: Promise<IdTokens | undefined>,
  tokenFor: (candidate: Candidate) => Promise<string | undefined>,
): Promise<Probed[]> {
  const refused = probed.filter(({ answer }) => answer === "refused").map(({ candidate }) => candidate);
  const byName = refused.filter(({ name }) => name.includes("dbt"));
  const doubtful = byName.length > 0 ? byName : refused;
  if (doubtful.length === 0 || doubtful.length > MOST_QUESTIONS || (await identity) === undefined) return [];
  const agreed: Candidate[] = [];
  for (const candidate of doubtful) {
    const { name, region, url } = candidate;
    const question = `The service ${name} (${region}, ${url}) has no label ${SERVER_LABEL.name}=${SERVER_LABEL.value} and wants to know who you are. Show it?`;
    if (settings.values.trustServer || (canAsk(context) && (await ask(context, question)))) agreed.push(candidate);
  }
  return probe({ candidates: agreed, fetch: fetchThrough(context.env), tokenFor, timeoutMs: PROBES_MS });
}

interface Offer {
  readonly url: string;
  readonly name: string;
  readonly region: string;
  readonly wasAsked: boolean;
}

/** Whether the user takes it, now or for good. */
async function offerToRemember(
  context: CliContext,
  settings: Settings,
  place: CloudPlace,
  { url, name, region, wasAsked }: Offer,
): Promise<boolean> {
  const { trustServer } = settings.values;
  if (!trustServer && (wasAsked || !canAsk(context))) return false;
  const question = `Found the dbt-server ${name} (${region}, ${url}). Use it for ${place.projectId} from now on, without looking?`;
  const isTaken = trustServer || (await ask(context, question));
  await rememberChoice(context.env, place, { url, isTaken });
  return isTaken;
}

/** What comes in time, else what `late` gives. */
async function within<T>(work: Promise<T>, ms: number, late: () => T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<T>((resolve, reject) => {
    timer = setTimeout(() => {
      try {
        resolve(late());
      } catch (error) {
        reject(error);
      }
    }, ms);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
