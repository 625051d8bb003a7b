/** How a credentials file becomes an ID token for one audience. */
import {
  type ExchangeParams,
  type Fields,
  type FreshToken,
  fetchToken,
  fieldsFrom,
  fieldsOf,
  signedAssertion,
  TOKEN_URL,
  text,
  unusable,
} from "./credentials.ts";

/** Whose token a file can make; undefined for a person's, of whom gcloud alone can get one. */
export function ownerOf(file: unknown): string | undefined {
  const fields = fieldsOf(file);
  switch (fields["type"]) {
    case "service_account":
      return `the key of ${text(fields, "client_email")}`;
    case "impersonated_service_account":
    case "external_account":
      return impersonated(fields) ?? "the workload's identity";
    default:
      return undefined;
  }
}

/** Throws `RetryLater` for what may pass. */
export async function fetchIdToken(file: unknown, audience: string, params: ExchangeParams): Promise<FreshToken> {
  const fields = fieldsOf(file);
  switch (fields["type"]) {
    case "service_account":
      return ofKey(fields, audience, params);
    case "impersonated_service_account":
      return generated(fields, await fetchToken(fields["source_credentials"], params), audience, params);
    case "external_account": {
      const { service_account_impersonation_url: _, ...federated } = fields;
      if (impersonated(fields) === undefined) {
        throw unusable("a workload's identity has no ID tokens of Google's unless it acts as a service account");
      }
      return generated(fields, await fetchToken(federated, params), audience, params);
    }
    default:
      throw unusable(`no ID token can be had by the kind ${JSON.stringify(fields["type"])}`);
  }
}

async function ofKey(fields: Fields, audience: string, params: ExchangeParams): Promise<FreshToken> {
  const body = new URLSearchParams({
    grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
    assertion: signedAssertion(fields, { target_audience: audience }, params.nowMs),
  });
  const url = text(fields, "token_uri", TOKEN_URL);
  const answer = await fieldsFrom(params.fetch, url, { method: "POST", body });
  return idToken(text(answer, "id_token"), params.nowMs);
}

/** Google's IAM makes it for whoever may act as the service account. */
async function generated(
  fields: Fields,
  source: FreshToken,
  audience: string,
  params: ExchangeParams,
): Promise<FreshToken> {
  const url = text(fields, "service_account_impersonation_url").replace(/:generateAccessToken$/, ":generateIdToken");
  const delegates = fields["delegates"];
  const answer = await fieldsFrom(params.fetch, url, {
    method: "POST",
    headers: { authorization: `Bearer ${source.token}`, "content-type": "application/json" },
    body: JSON.stringify({ audience, includeEmail: true, ...(delegates !== undefined && { delegates }) }),
  });
  return idToken(text(answer, "token"), params.nowMs);
}

/** The service account of an impersonation URL. */
function impersonated(fields: Fields): string | undefined {
  const url = String(fields["service_account_impersonation_url"] ?? "");
  return /\/serviceAccounts\/([^/:]+):/.exec(url)?.[1];
}

const UNKNOWN_LIFE_MS = 5 * 60_000;

/** A token with the time of its end, which it says itself. */
export function idToken(token: string, nowMs: number): FreshToken {
  try {
    const payload = Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8");
    const { exp } = JSON.parse(payload) as { exp?: unknown };
    if (typeof exp === "number") return { token, expiresAtMs: exp * 1000 };
  } catch {
    // What is no token the server will say.
  }
  return { token, expiresAtMs: nowMs + UNKNOWN_LIFE_MS };
}
