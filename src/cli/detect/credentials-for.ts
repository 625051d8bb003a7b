/** How a server that did not register on this machine is shown who asks. Loads what that takes only when it is asked for. */
import type { Credentials } from "../../api/http.ts";
import { AppError } from "../../core/errors.ts";
import { SERVER_LABEL } from "../../core/google-labels.ts";
import type { IdTokens } from "../../gcp/id-tokens.ts";
import type { CliContext } from "../context.ts";
import { isLoopbackUrl } from "../loopback.ts";
import type { Settings } from "../settings.ts";
import { checkServer } from "./check-server.ts";
import { createIdCredentials } from "./id-credentials.ts";
import { type Access, knownAccess, rememberAccess } from "./known-servers.ts";

const CHECK_MS = 5_000;

/** A server that was decided on: where it is, and how it is shown who asks. */
export interface FoundServer {
  readonly url: string;
  /** What the user said to present to the server. */
  readonly token: string | undefined;
  /** What it wants to know of who asks, where that was seen; undefined: it is asked. */
  readonly access?: Access | undefined;
  /** Whether nothing but its own word says what it is. */
  readonly isDoubtful?: boolean;
}

export function credentialsFor(context: CliContext, settings: Settings, server: FoundServer): Credentials {
  const { url, token, access, isDoubtful = false } = server;
  const { env } = context;
  return createIdCredentials({
    ...{ url, token, isDoubtful },
    identity: async () => {
      if (new URL(url).protocol !== "https:" && !isLoopbackUrl(url)) {
        throw new AppError("server_untrusted", `${url} wants an ID token, which goes over HTTPS only.`, {
          hint: `Use its https:// URL: --server-url https://${new URL(url).host}`,
        });
      }
      return (await import("./google.ts")).idTokensOf(env);
    },
    async check() {
      const { fetchThrough } = await import("./google.ts");
      return checkServer({ url, headers: {}, fetch: fetchThrough(env), signal: AbortSignal.timeout(CHECK_MS) });
    },
    async known() {
      const before = await knownAccess(env, url);
      // What was seen just now was seen from outside: what the server itself wants is known from before.
      if (access === undefined || before === undefined) return access ?? before;
      return { ...access, own: before.own, isOurs: access.isOurs || before.isOurs };
    },
    remember: (learnt) => rememberAccess(env, url, learnt).catch(() => undefined),
    ensureOurs: (tokens) => ensureOurs(context, settings, server, tokens),
  });
}

/** Resolves where the user named a service of their own project, or agrees. */
async function ensureOurs(
  context: CliContext,
  settings: Settings,
  { url, isDoubtful = false }: FoundServer,
  tokens: IdTokens | undefined,
): Promise<void> {
  const { env } = context;
  const { mayKnowUser, rememberMayKnowUser } = await import("./known-servers.ts");
  if (await mayKnowUser(env, url)) return;
  const { ownProject, servicesOf } = await import("./google.ts");
  const { hasUrl } = await import("./candidates.ts");
  const { location, trustServer } = settings.values;
  const projectId = settings.values.projectId ?? (await ownProject(env));
  if (projectId !== undefined && !isDoubtful) {
    const listed = await servicesOf(env, { projectId, location }).catch(() => undefined);
    if (listed !== undefined && hasUrl(listed.services, url)) return;
  }
  const { ask, canAsk } = await import("../ask.ts");
  const doubt = isDoubtful
    ? `has no label ${SERVER_LABEL.name}=${SERVER_LABEL.value}`
    : `is no service of ${projectId ?? "a Google Cloud project of yours"}`;
  const danger =
    tokens?.audience === "gcloud" ? ` gcloud's token of ${tokens.owner} is good for other services too.` : "";
  const question = `${url} wants to know who you are, and ${doubt}.${danger}\nShow it?`;
  if (trustServer || (canAsk(context) && (await ask(context, question)))) return rememberMayKnowUser(env, url);
  throw new AppError("server_untrusted", `${url} wants to know who you are, and was not seen to be your own.`, {
    hint: "Add --trust-server if it is; or let --project-id name its project, or DBT_SERVER_TOKEN hold a token for it",
  });
}
