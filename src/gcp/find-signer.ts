/** The service account that this process can sign as. */
import { AppError } from "../core/errors.ts";
import { type AccessTokenParams, readCredentials } from "./auth.ts";
import { isOnGoogle, metadata } from "./metadata.ts";
import type { Rest } from "./rest.ts";
import type { RetryPolicy } from "./retry.ts";
import { keySigner, type UrlSigner } from "./signed-url.ts";

export interface FindSignerParams extends AccessTokenParams {
  readonly rest: Rest;
  readonly retry?: RetryPolicy;
}

const IAM_URL = "https://iamcredentials.googleapis.com/";

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
        isJson: true,
      });
      const { signedBlob } = (answer.json() ?? {}) as { signedBlob?: unknown };
      if (typeof signedBlob === "string") return Buffer.from(signedBlob, "base64");
      throw new AppError("state_unavailable", "Google answered signing a download without a signature.");
    },
  };
}

/** Of the service account that this machine has; undefined off Google Cloud. */
async function ownEmail({ env, fetch: send, retry }: FindSignerParams): Promise<string | undefined> {
  if (!isOnGoogle(env)) return undefined;
  const email = await metadata("instance/service-accounts/default/email", {
    env,
    ...(send !== undefined && { fetch: send }),
    ...(retry !== undefined && { retry }),
  });
  return email.includes("@") ? email : undefined;
}
