/** Which server a command talks to, and how it shows who it is. */
import { type Client, createClient } from "../api/client.ts";
import { AppError } from "../core/errors.ts";
import type { CliContext, Env } from "./context.ts";
import { clientId, userLabel } from "./identity.ts";
import { isLoopbackUrl } from "./loopback.ts";
import { fetchFor } from "./proxy.ts";
import { type LocalServer, provesItself, registeredServers } from "./registrations.ts";
import type { Settings } from "./settings.ts";
import { ensureTrusted } from "./trust.ts";

const DEFAULT_PORT = 8001;

/** A server that was decided on: where it is, and the token for it. */
interface Found {
  readonly url: string;
  readonly token: string | undefined;
}

/** One way of finding a server; undefined where it knows of none. In order: what was said, this machine. */
type Finder = (context: CliContext, settings: Settings) => Promise<Found | undefined>;

async function clientFor(
  env: Env,
  { url, token }: Found,
  options: { readonly retryDelaysMs?: readonly number[] } = {},
) {
  const [id, fetch] = await Promise.all([clientId(env), fetchFor(url, env)]);
  return createClient({ baseUrl: url, token, clientId: id, userLabel: userLabel(env), fetch, ...options });
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
  if (await isAlive(env, registered)) return { url, token: registered.token };
  throw new AppError("server_unreachable", `The dbt-server at ${url} does not answer.`, {
    hint: `Start it: dbt-server --port ${port}`,
  });
};

const onThisMachine: Finder = async ({ env }) => {
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
};

/** Detection on Google Cloud is one more finder at the end. */
const FINDERS: readonly Finder[] = [said, onThisMachine];

/** Finds the server, checks that it may be trusted, and gives a client for it. */
export async function findServer(context: CliContext, settings: Settings): Promise<Client> {
  await ensureTrusted(context, settings);
  for (const finder of FINDERS) {
    const found = await finder(context, settings);
    if (found !== undefined) return clientFor(context.env, found);
  }
  // The server needs what Windows lacks; its clients don't.
  const start =
    context.platform === "win32"
      ? "Name one on another machine (dbt-server runs on macOS and Linux)"
      : "Start one in another terminal (dbt-server --python .venv/bin/python), or name one";
  throw new AppError("server_not_found", "No dbt-server was found on this machine, and none was named.", {
    hint: `${start}: --server-url URL.`,
  });
}

/**
 * Finds the server of a run again after a break: the same URL where it was said, else this machine's server, which a
 * restart may have given another port or token.
 */
export async function findServerAgain(context: CliContext, settings: Settings, former: Client): Promise<Client> {
  const { env } = context;
  const servers = await registeredServers(env);
  const atOldPlace = isLoopbackUrl(former.baseUrl)
    ? servers.find(({ port }) => String(port) === new URL(former.baseUrl).port)
    : undefined;
  if (settings.values.serverUrl !== undefined || atOldPlace !== undefined) {
    if (atOldPlace === undefined || settings.values.token !== undefined) return former;
    return (await isAlive(env, atOldPlace)) ? clientFor(env, { url: former.baseUrl, token: atOldPlace.token }) : former;
  }
  const found = await onThisMachine(context, settings);
  return found === undefined ? former : clientFor(env, found);
}
