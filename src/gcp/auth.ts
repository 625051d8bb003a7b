/**
 * Access tokens for Google's interfaces, found as Google's own tools find them: the file that
 * GOOGLE_APPLICATION_CREDENTIALS names, gcloud's application-default credentials, the metadata server.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../core/errors.ts";
import { type FreshToken, fetchToken } from "./credentials.ts";
import { metadataOnce } from "./metadata.ts";
import { RetryLater } from "./retry.ts";

export interface AccessTokens {
  /** A token that is good for some minutes yet. */
  get(): Promise<string>;
  /** Forgets a token that was not accepted; false where it is new, so that asking again would not help. */
  renew(): boolean;
}

export interface AccessTokenParams {
  /** Of the process: `GOOGLE_APPLICATION_CREDENTIALS`, `CLOUDSDK_CONFIG`, `GCE_METADATA_HOST`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly fetch?: typeof fetch;
}

/** A token is replaced this long before it expires; the metadata server gives a new one from then on. */
const EARLY_MS = 4 * 60_000;
/** One that was refused younger than this is not refused for its age. */
const NEW_MS = 60_000;

/** Nothing is looked for before the first token is asked for. */
export function createAccessTokens(params: AccessTokenParams): AccessTokens {
  const { now, fetch: send = fetch } = params;
  let current: (FreshToken & { readonly gotAtMs: number }) | undefined;
  let fetching: Promise<string> | undefined;

  async function renewed(): Promise<string> {
    const file = await readCredentials(params);
    const fresh =
      file === undefined
        ? await fromMetadataServer(params, send)
        : await fetchToken(file, { fetch: send, nowMs: now() });
    current = { ...fresh, gotAtMs: now() };
    return fresh.token;
  }

  return {
    async get() {
      if (current !== undefined && current.expiresAtMs - EARLY_MS > now()) return current.token;
      fetching ??= renewed().finally(() => {
        fetching = undefined;
      });
      return fetching;
    },
    renew() {
      if (current !== undefined && now() - current.gotAtMs < NEW_MS) return false;
      current = undefined;
      return true;
    },
  };
}

/** The content of the credentials file; undefined where there is none. */
export async function readCredentials({ env, home }: Pick<AccessTokenParams, "env" | "home">): Promise<unknown> {
  const named = env["GOOGLE_APPLICATION_CREDENTIALS"];
  const isNamed = named !== undefined && named !== "";
  const folder = env["CLOUDSDK_CONFIG"] ?? join(env["APPDATA"] ?? join(home, ".config"), "gcloud");
  const path = isNamed ? named : join(folder, "application_default_credentials.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (!isNamed) return undefined;
    throw unusable(path, cause instanceof Error ? cause.message : String(cause));
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw unusable(path, "it is no JSON");
  }
}

function unusable(path: string, why: string): AppError {
  return new AppError("state_unavailable", `The credentials in ${path} can't be used: ${why}.`, {
    hint: "See that GOOGLE_APPLICATION_CREDENTIALS names a credentials file of Google's, or unset it.",
  });
}

async function fromMetadataServer({ env, now }: AccessTokenParams, send: typeof fetch): Promise<FreshToken> {
  const text = await metadataOnce("instance/service-accounts/default/token", { env, fetch: send }).catch(
    (error: unknown) => {
      throw error instanceof RetryLater ? new RetryLater(noCredentials(error.cause)) : noCredentials(error);
    },
  );
  const { token, seconds } = parseToken(text);
  if (token === undefined) throw new RetryLater(noCredentials("The metadata server answered with no token."));
  return { token, expiresAtMs: now() + seconds * 1000 };
}

function parseToken(text: string): { readonly token: string | undefined; readonly seconds: number } {
  try {
    const { access_token: token, expires_in: seconds } = JSON.parse(text) as Record<string, unknown>;
    return { token: typeof token === "string" ? token : undefined, seconds: Number(seconds ?? 0) };
  } catch {
    return { token: undefined, seconds: 0 };
  }
}

function noCredentials(cause: unknown): AppError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new AppError("state_unavailable", `No credentials of Google's were found in files. ${why}`, {
    hint: "On your own machine: gcloud auth application-default login. On Google Cloud: run it as a service account, and see https://status.cloud.google.com",
    cause,
  });
}
