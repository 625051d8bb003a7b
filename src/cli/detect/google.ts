/** Google Cloud as this user reaches it: which project, and by whose credentials. */
import { join } from "node:path";
import type { HttpFetch } from "../../api/http.ts";
import { findAccessTokens } from "../../gcp/access-tokens.ts";
import { findGcloud, runGcloud } from "../../gcp/gcloud.ts";
import { readGcloudConfig } from "../../gcp/gcloud-config.ts";
import { findIdTokens, type IdTokens } from "../../gcp/id-tokens.ts";
import { metadataHost } from "../../gcp/metadata.ts";
import { createRest } from "../../gcp/rest.ts";
import { RUN_URL } from "../../gcp/run.ts";
import { type ListedServices, listServices } from "../../gcp/run-services.ts";
import type { Env } from "../context.ts";
import { cacheFolder, homeFolder } from "../folders.ts";
import { fetchFor } from "../proxy.ts";
import type { CloudPlace } from "./known-servers.ts";

const LIST_POLICY = { giveUpAfterMs: 1_000, firstPauseMs: 100, maxPauseMs: 400 };

/** Through the proxy that the environment names for each URL. */
export function fetchThrough(env: Env): HttpFetch {
  const plain = fetch as unknown as HttpFetch;
  const isMetadata = (url: string): boolean => new URL(url).host === metadataHost(env);
  return async (url, init) => ((isMetadata(url) ? undefined : await fetchFor(url, env)) ?? plain)(url, init);
}

const params = (env: Env) => ({
  env,
  home: homeFolder(env),
  now: Date.now,
  fetch: fetchThrough(env) as unknown as typeof fetch,
});

const identities = new WeakMap<Env, Promise<IdTokens | undefined>>();

/** Whoever this user is to Google, looked for once; undefined where nothing says. */
export function idTokensOf(env: Env): Promise<IdTokens | undefined> {
  const found =
    identities.get(env) ?? findIdTokens({ ...params(env), cachePath: join(cacheFolder(env), "id-tokens.json") });
  identities.set(env, found);
  return found;
}

/** The project that the user has set for Google's own tools; undefined where none is. */
export async function ownProject(env: Env): Promise<string | undefined> {
  const named = env["GOOGLE_CLOUD_PROJECT"] || (await readGcloudConfig({ env, home: homeFolder(env) })).projectId;
  if (named !== undefined && named !== "") return named;
  const gcloud = await findGcloud(env);
  if (gcloud === undefined) return undefined;
  // It may know of places that its files do not name.
  const said = await runGcloud(gcloud, ["config", "get-value", "project"], { env }).catch(() => "");
  return /^[a-z0-9][a-z0-9.:-]*$/.test(said) ? said : undefined;
}

export function hasGcloud(env: Env): Promise<boolean> {
  return findGcloud(env).then((path) => path !== undefined);
}

/** The project's services; undefined where this machine has no credentials to ask with. */
export async function servicesOf(env: Env, place: CloudPlace): Promise<ListedServices | undefined> {
  const tokens = await findAccessTokens(params(env));
  if (tokens === undefined) return undefined;
  const { fetch } = params(env);
  const given = env["CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN"];
  const baseUrl = (given === undefined || given === "" ? RUN_URL : given).replace(/\/+$/, "");
  return listServices({ ...place, rest: createRest({ tokens, retry: LIST_POLICY, fetch }), baseUrl });
}
