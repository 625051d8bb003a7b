/** Access tokens for somebody at a terminal or in CI: those of gcloud too, where no other credentials are there. */
import { type AccessTokenParams, type AccessTokens, createAccessTokens, readCredentials } from "./auth.ts";
import { findGcloud, runGcloud } from "./gcloud.ts";
import { isOnGoogle } from "./metadata.ts";

/** Undefined where this machine has no credentials of Google's. */
export async function findAccessTokens(params: AccessTokenParams): Promise<AccessTokens | undefined> {
  const { env } = params;
  const [file, gcloud] = await Promise.all([readCredentials(params), findGcloud(env)]);
  const { type } = (file ?? {}) as { type?: unknown };
  // A person's application-default credentials need a project to be billed for; gcloud's own do not.
  const isPersons = type === "authorized_user";
  if (file !== undefined && !(isPersons && gcloud !== undefined)) return createAccessTokens(params);
  if (gcloud === undefined) return isOnGoogle(env) ? createAccessTokens(params) : undefined;
  let current: Promise<string> | undefined;
  return {
    get() {
      current ??= runGcloud(gcloud, ["auth", "print-access-token"], { env });
      return current;
    },
    // gcloud gives no other one until it has ended.
    renew: () => false,
  };
}
