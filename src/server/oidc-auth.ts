/** `--auth oidc`: the server checks ID tokens itself, of any OpenID Connect issuer. */
import { createRemoteJWKSet, customFetch, decodeJwt, errors, type FetchImplementation, jwtVerify } from "jose";
import { AppError } from "../core/errors.ts";
import { type Auth, bearerOf } from "./auth.ts";
import { type IdentitySettings, isSafeUrl } from "./auth-options.ts";
import { callerOf, GOOGLE_ISSUER, notAccepted, sameIssuer } from "./id-claims.ts";

export interface OidcAuthParams {
  readonly identity: IdentitySettings;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told why a token was refused, by a word of the library's own and never with anything of the token. */
  readonly onRefused?: (why: string) => void;
  readonly fetch?: FetchImplementation;
}

/** Keys that only the issuer can have: no shared secrets, and never none. */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
const CLOCK_TOLERANCE_S = 30;
const TIMEOUT_MS = 5_000;
/** An issuer that could not be asked is asked again after this long. */
const PAUSE_MS = 5_000;
const kind = "oidc";

type Keys = ReturnType<typeof createRemoteJWKSet>;

/** Nothing is fetched before the first token comes. */
export function createOidcAuth({ identity, now, onRefused, fetch: send = fetch }: OidcAuthParams): Auth {
  const { issuers, audiences, jwksUrl, allowed } = identity;
  const keysOf = new Map(
    [...new Set(issuers.map(sameIssuer))].flatMap((issuer) => {
      const keys = issuerKeys(issuer, jwksUrl, send, now);
      const names = issuer === GOOGLE_ISSUER ? [issuer, "accounts.google.com"] : [issuer];
      return names.map((name) => [name, keys] as const);
    }),
  );

  return {
    kind,
    // A browser sends no such token by itself.
    checkOrigin: () => {},
    proof: () => undefined,
    async caller(request) {
      const token = bearerOf(request.authorization);
      if (token === undefined) {
        throw new AppError("unauthorized", "An ID token is needed.", {
          hint: "Sign in with gcloud auth login, or set DBT_SERVER_TOKEN to an ID token that is made for this server",
          details: { auth: kind },
        });
      }
      try {
        const issuer = decodeJwt(token).iss ?? "";
        const keys = keysOf.get(issuer);
        if (keys === undefined) throw new errors.JWTClaimValidationFailed("issuer", {}, "iss", "unknown");
        const { payload } = await jwtVerify(token, keys, {
          issuer,
          audience: [...audiences],
          algorithms: ALGORITHMS,
          clockTolerance: CLOCK_TOLERANCE_S,
          requiredClaims: ["sub", "exp", "iat"],
          currentDate: new Date(now()),
        });
        if ((payload.iat ?? 0) * 1000 > now() + CLOCK_TOLERANCE_S * 1000) {
          throw new errors.JWTClaimValidationFailed("from the future", {}, "iat", "future");
        }
        return callerOf(payload, { kind, allowed });
      } catch (error) {
        if (error instanceof AppError) {
          if (error.code === "unauthorized") onRefused?.("email_verified");
          throw error;
        }
        if (error instanceof errors.JOSEError) onRefused?.(reasonOf(error));
        // What the library says may contain the token.
        throw notAccepted(kind);
      }
    },
  };
}

function reasonOf(error: errors.JOSEError): string {
  return error instanceof errors.JWTClaimValidationFailed ? `${error.code} ${error.claim}` : error.code;
}

/** The keys of one issuer, found by its discovery document where no URL was configured. */
function issuerKeys(
  issuer: string,
  jwksUrl: string | undefined,
  send: FetchImplementation,
  now: () => number,
): (...args: Parameters<Keys>) => ReturnType<Keys> {
  let keys: Promise<Keys> | undefined;
  let failure: { readonly error: AppError; readonly atMs: number } | undefined;

  const find = async (): Promise<Keys> => {
    const url = jwksUrl ?? (await discover(issuer, send));
    return createRemoteJWKSet(new URL(url), { timeoutDuration: TIMEOUT_MS, [customFetch]: send });
  };

  return async (...args) => {
    if (failure !== undefined && now() - failure.atMs < PAUSE_MS) throw failure.error;
    try {
      keys ??= find();
      return await (await keys)(...args);
    } catch (error) {
      const isTokens = error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys;
      if (isTokens || error instanceof errors.JOSENotSupported) throw error;
      keys = undefined;
      const why = error instanceof Error ? error.message : String(error);
      const unavailable = new AppError("identity_unavailable", `The keys of ${issuer} can't be had: ${why}.`, {
        hint: "Check DBT_SERVER_OIDC_ISSUER and DBT_SERVER_OIDC_JWKS_URL, and the network",
      });
      failure = { error: unavailable, atMs: now() };
      throw unavailable;
    }
  };
}

async function discover(issuer: string, send: FetchImplementation): Promise<string> {
  const url = `${issuer.replace(/\/+$/, "")}/.well-known/openid-configuration`;
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await send(url, { method: "GET", headers: new Headers(), redirect: "manual", signal });
  if (response.status !== 200) throw new Error(`${url} answered with HTTP ${response.status}`);
  const document = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown } | null;
  const keysUrl = document?.jwks_uri;
  if (document?.issuer !== issuer) throw new Error(`${url} is another issuer's`);
  if (typeof keysUrl !== "string" || !isSafeUrl(keysUrl)) throw new Error(`${url} names no https:// URL of keys`);
  return keysUrl;
}
