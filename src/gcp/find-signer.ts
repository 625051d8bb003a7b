/** The service account that this process can sign as. */
import { AppError } from "../core/errors.ts";
import { type AccessTokenParams, readCredentials } from "./auth.ts";
import type { Rest } from "./rest.ts";
import { keySigner, type UrlSigner } from "./signed-url.ts";

export interface FindSignerParams extends AccessTokenParams {
  readonly rest: Rest;
}

const IAM_URL = "https://iamcredentials.googleapis.com/";
const METADATA_TIMEOUT_MS = 5_000;

/** By its key, or by Google's signing for it; undefined for credentials that are no service account's. */
export async function findSigner(params: FindSignerParams): Promise<UrlSigner | undefined> {
  const file = (await readCredentials(params)) as Readonly<Record<string, unknown>> | undefined;
  if (file === undefined) {
    const email = await ownEmail(params);
    return email === undefined ? undefined : iamSigner(params, email);
  }
  const { client_email: email, private_key: key, service_account_impersonation_url: impersonated } = file;
  if (typeof email === "string" && typeof key === "string") return keySigner(email, key);
  const [, other] = /\/serviceAccounts\/([^/:]+):/.exec(String(impersonated ?? "")) ?? [];
  return other === undefined ? undefined : iamSigner(params, decodeURIComponent(other));
}

function iamSigner({ rest, env }: FindSignerParams, email: string): UrlSigner {
  const base = env["CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"] || IAM_URL;
  return {
    email,
    async sign(text) {
      const answer = await rest.request({
        method: "POST",
        url: `${base}v1/projects/-/serviceAccounts/${encodeURIComponent(email)}:signBlob`,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ payload: Buffer.from(text).toString("base64") }),
        doing: "signing a download",
        needs: `roles/iam.serviceAccountTokenCreator on ${email}, for itself`,
      });
      const { signedBlob } = (answer.json() ?? {}) as { signedBlob?: unknown };
      if (typeof signedBlob === "string") return Buffer.from(signedBlob, "base64");
      throw new AppError("state_unavailable", "Google answered signing a download without a signature.");
    },
  };
}

/** Of the service account that this machine has; undefined off Google Cloud. */
async function ownEmail({ env, fetch: send = fetch }: FindSignerParams): Promise<string | undefined> {
  const host = env["GCE_METADATA_HOST"] || "metadata.google.internal";
  try {
    const response = await send(`http://${host}/computeMetadata/v1/instance/service-accounts/default/email`, {
      headers: { "metadata-flavor": "Google" },
      signal: AbortSignal.timeout(METADATA_TIMEOUT_MS),
    });
    const email = (await response.text()).trim();
    return response.ok && email.includes("@") ? email : undefined;
  } catch {
    return undefined;
  }
}
