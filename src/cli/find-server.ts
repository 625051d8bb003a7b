/** Which server a command talks to, and how it shows who it is. */
import { type Client, createClient } from "../api/client.ts";
import type { Credentials } from "../api/http.ts";
import { AppError } from "../core/errors.ts";
import type { CliContext, Env } from "./context.ts";
import type { FoundServer } from "./detect/credentials-for.ts";
import { clientId, userLabel } from "./identity.ts";
import { isLoopbackUrl } from "./loopback.ts";
import { fetchFor } from "./proxy.ts";
import { type LocalServer, provesItself, registeredServers } from "./registrations.ts";
import type { Settings } from "./settings.ts";
import { ensureTrusted } from "./trust.ts";

const DEFAULT_PORT = 8001;

interface Found extends FoundServer {
  /** Whether it registered on this machine, so that the token of its file is all it wants. */
  readonly isRegistered?: boolean;
}

/** One way of finding a server; undefined where it knows of none. In order: what was said, this machine, Google Cloud. */
type Finder = (context: CliContext, settings: Settings) => Promise<Found | undefined>;

async function clientFor(
  env: Env,
  { url, token }: LocalServer | Found,
  options: { readonly retryDelaysMs?: readonly number[]; readonly credentials?: Credentials } = {},
) {
  const [id, fetch] = await Promise.all([clientId(env), fetchFor(url, env)]);
  const shown = options.credentials === undefined ? { token } : {};
  return createClient({ baseUrl: url, clientId: id, userLabel: userLabel(env), fetch, ...shown, ...options });
}

/** A client that shows the server who asks in the way that it wants. */
async function clientOf(context: CliContext, settings: Settings, found: Found): Promise<Client> {
  if (found.isRegistered) return clientFor(context.env, found);
  const { credentialsFor } = await import("./detect/credentials-for.ts");
  return clientFor(context.env, found, { credentials: credentialsFor(context, settings, found) });
}

async function isAlive(env: Env, server: LocalServer): Promise<boolean> {
  return provesItself(await clientFor(env, server, { retryDelaysMs: [] }), server);
}

const said: Finder = async ({ env }, { values, origins, projectFile }) => {
  const { serverUrl: url, token } = values;
  if (url === undefined) return undefined;
  if (!isLoopbackUrl(url)) return { url, token };
  const { port } = new URL(url);
  const isProjects = origins.serverUrl === "project";
  const registered = (await registeredServers(env)).find((server) => String(server.port) === port);
  // An unproved server of this machine gets a token only where the user, not a project's file, named it.
  if (registered === undefined && isProjects) {
    throw new AppError(
      "server_untrusted",
      `${projectFile.path} says server_url: ${url}, where no server of yours runs.`,
      {
        hint: `Start one: dbt-server --port ${port || 80}`,
      },
    );
  }
  if (registered === undefined || (token !== undefined && !isProjects)) return { url, token };
  if (await isAlive(env, registered)) return { url, token: registered.token, isRegistered: true };
  throw new AppError("server_unreachable", `The dbt-server at ${url} does not answer.`, {
    hint: `Start it: dbt-server --port ${port}`,
  });
};

const onThisMachine: Finder = async ({ env }) => {
  const server = await localServer(env);
  return server && { ...server, isRegistered: true };
};

async function localServer(env: Env): Promise<LocalServer | undefined> {
  const servers = await registeredServers(env);
  const usual = servers.find(({ port }) => port === DEFAULT_PORT);
  if (usual !== undefined && (await isAlive(env, usual))) return usual;
  const others = servers.filter((server) => server !== usual);
  const alive = await Promise.all(others.map((server) => isAlive(env, server).catch(() => false)));
  const running = others.filter((_, index) => alive[index]);
  if (running.length > 1) {
    throw new AppError("server_not_found", `Several servers run here: ${running.map(({ url }) => url).join(", ")}.`, {
      hint: `Choose one: --server-url ${running[0]?.url}`,
    });
  }
  return running[0];
}

/** Rejects where there is none: nothing else is left to look at. */
const onGoogleCloud: Finder = async (context, settings) => {
  const { detectOnGoogleCloud } = await import("./detect/google-cloud.ts");
  return { ...(await detectOnGoogleCloud(context, settings)), token: settings.values.token };
};

const FINDERS: readonly Finder[] = [said, onThisMachine, onGoogleCloud];

/** Finds the server, checks that it may be trusted, and gives a client for it. */
export async function findServer(context: CliContext, settings: Settings): Promise<Client> {
  await ensureTrusted(context, settings);
  for (const finder of FINDERS) {
    const found = await finder(context, settings);
    if (found !== undefined) return clientOf(context, settings, found);
  }
  throw new AppError("server_not_found", "No dbt-server was found.", { hint: "Name one: --server-url URL" });
}

/**
 * Finds the server of a run again after a break: the same URL where it was said, else this machine's server, which a
 * restart may have given another port or token.
 */
export async function findServerAgain(context: CliContext, settings: Settings, former: Client): Promise<Client> {
  const { env } = context;
  // Such a server stays where it is, and its client gets new tokens by itself.
  if (!isLoopbackUrl(former.baseUrl)) return former;
  const servers = await registeredServers(env);
  const atOldPlace = isLoopbackUrl(former.baseUrl)
    ? servers.find(({ port }) => String(port) === new URL(former.baseUrl).port)
    : undefined;
  if (settings.values.serverUrl !== undefined || atOldPlace !== undefined) {
    if (atOldPlace === undefined || settings.values.token !== undefined) return former;
    return (await isAlive(env, atOldPlace)) ? clientFor(env, { url: former.baseUrl, token: atOldPlace.token }) : former;
  }
  const found = await localServer(env);
  return found === undefined ? former : clientFor(env, found);
}
