/**
 * ID tokens, by which somebody shows Cloud Run and others who they are: from a credentials file, gcloud, or the metadata
 * server, in the order in which Google's own tools look.
 */
import { createHash } from "node:crypto";
import { readCredentials } from "./auth.ts";
import type { FreshToken } from "./credentials.ts";
import { findGcloud, runGcloud } from "./gcloud.ts";
import { type GcloudConfig, readGcloudConfig } from "./gcloud-config.ts";
import { fetchIdToken, idToken, ownerOf } from "./id-token-exchange.ts";
import { isOnGoogle } from "./metadata.ts";
import { metadataIdToken } from "./metadata-identity.ts";
import { type RetryPolicy, untilItPasses } from "./retry.ts";
import { createTokenFile } from "./token-file.ts";

export interface IdTokens {
  /**
   * `own`: each is made for one audience and is of no use elsewhere. `gcloud`: a person's, which every service takes that
   * knows gcloud, whatever audience is asked for: whoever gets it can pass for that person there.
   */
  readonly audience: "own" | "gcloud";
  /** Whose they are, for people. */
  readonly owner: string;
  /** One that is good for some minutes yet. */
  get(audience: string): Promise<string>;
  /** Forgets one that was refused; false where it is new, so that another one would not help. */
  renew(audience: string): Promise<boolean>;
}

export interface IdTokenParams {
  /** Of the process. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Where those of gcloud are kept. */
  readonly cachePath: string;
  readonly fetch?: typeof fetch;
  readonly retry?: RetryPolicy;
}

/** A token is replaced this long before it ends, one of a short life when a quarter of it is left. */
const EARLY_MS = 3 * 60_000;
/** One that was refused younger than this is not refused for its age. */
const NEW_MS = 60_000;
/** Longer than one attempt may take, so that a slow answer is asked for again. */
const RETRY: RetryPolicy = { giveUpAfterMs: 25_000, firstPauseMs: 200, maxPauseMs: 2_000 };

/** Undefined where this machine has no identity of Google's. */
export async function findIdTokens(params: IdTokenParams): Promise<IdTokens | undefined> {
  const { env, now, fetch: send = fetch, retry = RETRY } = params;
  const file = await readCredentials(params);
  const owner = file === undefined ? undefined : ownerOf(file);
  if (owner !== undefined) {
    const make = (audience: string) => fetchIdToken(file, audience, { fetch: send, nowMs: now() });
    return kept({ audience: "own", owner, now, retry, make });
  }
  const [config, gcloud] = await Promise.all([readGcloudConfig(params), findGcloud(env)]);
  if (gcloud !== undefined && (config.account !== undefined || !isOnGoogle(env))) {
    return ofGcloud(params, gcloud, config);
  }
  if (!isOnGoogle(env)) return undefined;
  return kept({
    ...{ audience: "own", owner: "this machine's service account", now, retry },
    make: async (audience) => idToken(await metadataIdToken({ env, audience, fetch: send, retry }), now()),
  });
}

function ofGcloud(
  { env, now, cachePath, retry = RETRY }: IdTokenParams,
  gcloud: string,
  config: GcloudConfig,
): IdTokens {
  const { folder, name, account, impersonates } = config;
  const isService = impersonates !== undefined || account?.endsWith(".gserviceaccount.com") === true;
  const file = createTokenFile(cachePath);
  const keyOf = (audience: string): string => {
    const who = [folder, name, account ?? "", impersonates ?? "", isService ? audience : ""];
    return createHash("sha256").update(JSON.stringify(who)).digest("hex");
  };
  return kept({
    audience: isService ? "own" : "gcloud",
    owner: impersonates ?? account ?? "gcloud's account",
    ...{ now, retry },
    load: async (audience) => file.get(keyOf(audience), now()),
    store: (audience, token) => file.set(keyOf(audience), token, now()),
    make: async (audience) => {
      // For a person's account gcloud takes no audience.
      const args = ["auth", "print-identity-token", ...(isService ? [`--audiences=${audience}`] : [])];
      return idToken(await runGcloud(gcloud, args, { env }), now());
    },
  });
}

interface KeptParams extends Pick<IdTokens, "audience" | "owner"> {
  readonly now: () => number;
  readonly retry: RetryPolicy;
  make(audience: string): Promise<FreshToken>;
  load?(audience: string): Promise<FreshToken | undefined>;
  store?(audience: string, token: FreshToken | undefined): Promise<void>;
}

/** Makes each token once until it is about to end. */
function kept({ audience: kind, owner, now, retry, make, load, store }: KeptParams): IdTokens {
  interface Held {
    readonly token: string;
    readonly goodUntilMs: number;
    /** Undefined where it comes from an earlier command. */
    readonly madeAtMs: number | undefined;
  }
  const current = new Map<string, Held>();
  const making = new Map<string, Promise<string>>();
  const slotOf = (audience: string): string => (kind === "own" ? audience : "");

  async function fresh(audience: string): Promise<string> {
    const slot = slotOf(audience);
    const loaded = await load?.(audience);
    if (loaded !== undefined && loaded.expiresAtMs - EARLY_MS > now()) {
      const { token, expiresAtMs } = loaded;
      current.set(slot, { token, goodUntilMs: expiresAtMs - EARLY_MS, madeAtMs: undefined });
      return token;
    }
    const made = await untilItPasses(retry, () => make(audience));
    const { token, expiresAtMs } = made;
    const earlyMs = Math.min(EARLY_MS, (expiresAtMs - now()) / 4);
    current.set(slot, { token, goodUntilMs: expiresAtMs - earlyMs, madeAtMs: now() });
    await store?.(audience, made);
    return token;
  }

  return {
    ...{ audience: kind, owner },
    async get(audience) {
      const slot = slotOf(audience);
      const found = current.get(slot);
      if (found !== undefined && found.goodUntilMs > now()) return found.token;
      const running = making.get(slot) ?? fresh(audience).finally(() => making.delete(slot));
      making.set(slot, running);
      return running;
    },
    async renew(audience) {
      const slot = slotOf(audience);
      const madeAtMs = current.get(slot)?.madeAtMs;
      if (madeAtMs !== undefined && now() - madeAtMs < NEW_MS) return false;
      current.delete(slot);
      await store?.(audience, undefined);
      return true;
    },
  };
}
