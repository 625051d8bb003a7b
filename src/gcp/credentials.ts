/** The kinds of credentials files, and how each becomes an access token. */
import { createSign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AppError } from "../core/errors.ts";
import { mayPass, RetryLater, reasonOf } from "./retry.ts";

export interface FreshToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

export interface ExchangeParams {
  readonly fetch: typeof fetch;
  readonly nowMs: number;
}

export type Fields = Readonly<Record<string, unknown>>;

const SCOPE = "https://www.googleapis.com/auth/cloud-platform";
export const TOKEN_URL = "https://oauth2.googleapis.com/token";
const STS_URL = "https://sts.googleapis.com/v1/token";
const TIMEOUT_MS = 10_000;

/** Exchanges the content of a credentials file for a token. Throws `RetryLater` for what may pass. */
export async function fetchToken(file: unknown, params: ExchangeParams): Promise<FreshToken> {
  const fields = fieldsOf(file);
  switch (fields["type"]) {
    case "authorized_user":
      return exchange(params, text(fields, "token_uri", TOKEN_URL), {
        grant_type: "refresh_token",
        client_id: text(fields, "client_id"),
        client_secret: text(fields, "client_secret"),
        refresh_token: text(fields, "refresh_token"),
      });
    case "service_account":
      return exchange(params, text(fields, "token_uri", TOKEN_URL), {
        grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
        assertion: signedAssertion(fields, { scope: SCOPE }, params.nowMs),
      });
    case "impersonated_service_account": {
      const source = await fetchToken(fields["source_credentials"], params);
      return impersonate(params, text(fields, "service_account_impersonation_url"), source);
    }
    case "external_account": {
      const federated = await exchange(params, text(fields, "token_url", STS_URL), {
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
        audience: text(fields, "audience"),
        scope: SCOPE,
        subject_token_type: text(fields, "subject_token_type"),
        subject_token: await subjectToken(fieldsOf(fields["credential_source"]), params),
      });
      const url = fields["service_account_impersonation_url"];
      return url === undefined ? federated : impersonate(params, String(url), federated);
    }
    default:
      throw unusable(`they are of the kind ${JSON.stringify(fields["type"])}, which is not known here`);
  }
}

/** The token of the outer identity: workload identity federation keeps it in a file or behind a URL. */
async function subjectToken(source: Fields, { fetch: send }: ExchangeParams): Promise<string> {
  const format = fieldsOf(source["format"] ?? {});
  const { file, url } = source;
  let content: string;
  if (typeof file === "string") {
    content = await readFile(file, "utf8").catch((error: unknown) => {
      throw unusable(`the token in ${file} can't be read: ${error instanceof Error ? error.message : error}`);
    });
  } else if (typeof url === "string") {
    const headers = fieldsOf(source["headers"] ?? {}) as Record<string, string>;
    content = await answerOf(send, url, { headers });
  } else {
    throw unusable("their credential_source is neither a file nor a URL");
  }
  if (format["type"] !== "json") return content.trim();
  return text(parsed(content, String(url ?? file)), text(format, "subject_token_field_name"));
}

async function impersonate({ fetch: send }: ExchangeParams, url: string, source: FreshToken): Promise<FreshToken> {
  const fields = await fieldsFrom(send, url, {
    method: "POST",
    headers: { authorization: `Bearer ${source.token}`, "content-type": "application/json" },
    body: JSON.stringify({ scope: [SCOPE], lifetime: "3600s" }),
  });
  return { token: text(fields, "accessToken"), expiresAtMs: Date.parse(text(fields, "expireTime")) };
}

async function exchange(params: ExchangeParams, url: string, form: Record<string, string>): Promise<FreshToken> {
  const fields = await fieldsFrom(params.fetch, url, { method: "POST", body: new URLSearchParams(form) });
  return {
    token: text(fields, "access_token"),
    expiresAtMs: params.nowMs + Number(fields["expires_in"] ?? 3600) * 1000,
  };
}

/** The fields of a good answer. Throws `RetryLater` for what may pass. */
export async function fieldsFrom(send: typeof fetch, url: string, init: RequestInit): Promise<Fields> {
  return parsed(await answerOf(send, url, init), url);
}

async function answerOf(send: typeof fetch, url: string, init: RequestInit): Promise<string> {
  if (!URL.canParse(url)) throw unusable(`${JSON.stringify(url)} is no URL`);
  const { host } = new URL(url);
  let response: Response;
  let body: string;
  try {
    response = await send(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    body = await response.text();
  } catch (error) {
    throw new RetryLater(unanswered(`${host} could not be reached for a token: ${reasonOf(error)}`));
  }
  if (response.ok) return body;
  // Google's answer names what is wrong; it does not repeat the secret.
  const said = `${host} answered ${response.status}: ${body.slice(0, 300).trim()}`;
  throw mayPass(response.status) ? new RetryLater(unanswered(said)) : unusable(said);
}

/** An answer that is cut short, or somebody else's page, is no JSON; asked again, it may be. */
function parsed(answer: string, from: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(answer);
  } catch {
    throw new RetryLater(
      unanswered(`${URL.canParse(from) ? new URL(from).host : from} gave something that is no JSON`),
    );
  }
  return fieldsOf(value);
}

/** What a service account's key signs, to be exchanged for a token that `wish` describes. */
export function signedAssertion(fields: Fields, wish: Fields, nowMs: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const issuedAt = Math.floor(nowMs / 1000);
  const header = { alg: "RS256", typ: "JWT", kid: fields["private_key_id"] };
  const claims = {
    ...{ ...wish, iss: text(fields, "client_email"), aud: text(fields, "token_uri", TOKEN_URL) },
    ...{ iat: issuedAt, exp: issuedAt + 3600 },
  };
  const signed = `${part(header)}.${part(claims)}`;
  try {
    return `${signed}.${createSign("RSA-SHA256").update(signed).sign(text(fields, "private_key"), "base64url")}`;
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw unusable("their private_key is no key");
  }
}

/** Throws where it is no object. */
export function fieldsOf(value: unknown): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw unusable("something in them is no JSON object");
}

/** One field. Throws where it is missing and has no fallback. */
export function text(fields: Fields, name: string, fallback?: string): string {
  const value = fields[name] ?? fallback;
  if (typeof value === "string" && value !== "") return value;
  throw unusable(`${name} is missing`);
}

/** Credentials that may be what they should be, of which nobody can be asked now. */
function unanswered(why: string): AppError {
  return new AppError("state_unavailable", `Google's credentials can't be used now: ${why}.`, {
    hint: "Try again. If it lasts: see https://status.cloud.google.com, and whether this network lets Google be reached",
  });
}

/** Credentials that are not what they should be. */
export function unusable(why: string): AppError {
  return new AppError("state_unavailable", `Google's credentials can't be used: ${why}.`, {
    hint: "On your own machine: gcloud auth application-default login.",
  });
}
