/** What end-to-end tests drive: the real server, the real CLI and the real dbt, each in a home folder of its own. */

import { join } from "node:path";
import { tempFolder } from "./folders.ts";
import { freePort } from "./free-port.ts";
import {
  node,
  type Program,
  type ProgramOptions,
  program,
  python,
  type Result,
  sharedHome,
  start,
  until,
  venv,
} from "./programs.ts";

export { copyProject, root, tempFolder } from "./folders.ts";
export { freePort } from "./free-port.ts";
export { masked } from "./masked.ts";
export { leftovers, machineNode, node, type Program, program, type Result, start, until } from "./programs.ts";

export interface ServerOptions extends ProgramOptions {
  /** Default: a new one. */
  readonly dataDir?: string;
  /** Default: a free one. */
  readonly port?: number;
  readonly args?: readonly string[];
}

export interface TestServer extends Program {
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  /** Where it has registered: a CLI with the same home finds it by itself. */
  readonly home: string;
  /** Ends it with SIGTERM, and by force where that takes long. */
  stop(): Promise<Result>;
}

/** For servers that run many commands: dbt is loaded once, as with every server that is told nothing. */
export const KEPT_WARM = { DBT_SERVER_WARM: "on" };

/** Starts a dbt-server on loopback and waits until it answers. Rejects with what it printed where it ends instead. */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const dataDir = options.dataDir ?? tempFolder("data");
  const home = options.home ?? sharedHome;
  const port = options.port ?? (await freePort());
  const url = `http://127.0.0.1:${port}`;
  const args = ["--port", String(port), "--data-dir", dataDir, "--python", python, ...(options.args ?? [])];
  // Loading dbt for servers that run none of it, or one command, would cost the tests minutes.
  const env = { DBT_SERVER_WARM: "off", ...options.env };
  const server = start(node, [program("server"), ...args], { timeoutMs: 3_600_000, ...options, env, home });
  const ended = server.done.then((result) => {
    throw new Error(`dbt-server ended with ${result.code ?? result.signal}:\n${result.stderr}${result.stdout}`);
  });
  ended.catch(() => undefined);
  const answers = until(`dbt-server on port ${port}`, async () => {
    const response = await fetch(`${url}/check`).catch(() => undefined);
    return response?.ok;
  });
  await Promise.race([answers, ended]).catch((error: unknown) => {
    server.kill("SIGKILL");
    throw error;
  });
  const stop = async () => {
    server.kill("SIGTERM");
    const timer = setTimeout(() => server.kill("SIGKILL"), 15_000);
    return server.done.finally(() => clearTimeout(timer));
  };
  return { ...server, url, port, dataDir, home, stop };
}

export interface CliOptions extends ProgramOptions {
  /** Talk to this server; the home is the server's too, unless another is given. Default: what the CLI finds in its home. */
  readonly server?: TestServer;
  /** The Node to run on. Default: the newer one. */
  readonly node?: string;
}

/** Starts dbt-remote without waiting for its end. */
export function startCli(args: readonly string[], options: CliOptions = {}): Program {
  const { server, home = server?.home ?? sharedHome } = options;
  // Servers register below XDG_STATE_HOME: a CLI with a home of its own has to find the server's token there.
  const found = server ? { DBT_SERVER_URL: server.url, XDG_STATE_HOME: join(server.home, ".local", "state") } : {};
  const env = { ...found, ...options.env };
  return start(options.node ?? node, [program("cli"), ...args], { ...options, home, env });
}

/** Runs dbt-remote to its end. */
export function cli(args: readonly string[], options: CliOptions = {}): Promise<Result> {
  return startCli(args, options).done;
}

/** Runs the dbt of .venv itself to its end, with the same home and environment as `cli`. */
export function localDbt(args: readonly string[], options: ProgramOptions = {}): Promise<Result> {
  return start(join(venv, "bin", "dbt"), args, options).done;
}
