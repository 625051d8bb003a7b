/** What every one of dbt-remote's own verbs starts with. */
import path from "node:path";
import type { Client } from "../api/client.ts";
import type { FlagTexts } from "../config/options.ts";
import type { CliContext } from "./context.ts";
import { findServer } from "./find-server.ts";
import { createOutput, type Output } from "./output.ts";
import { nearestProjectDir } from "./project-dir.ts";
import { loadSettings, type Settings } from "./settings.ts";

export interface OwnCommand {
  readonly context: CliContext;
  readonly flags: FlagTexts;
  readonly positionals: readonly string[];
}

export interface Session {
  readonly settings: Settings;
  readonly output: Output;
  /** Finds the server; only once it is needed. */
  client(): Promise<Client>;
}

export async function startSession({ context, flags }: Pick<OwnCommand, "context" | "flags">): Promise<Session> {
  const { env, cwd } = context;
  const said = flags["projectDir"]?.at(-1) ?? (env["DBT_ENGINE_PROJECT_DIR"] || env["DBT_PROJECT_DIR"]);
  const projectDir = said === undefined || said === "" ? nearestProjectDir(cwd) : path.resolve(cwd, said);
  const settings = await loadSettings(context, flags, projectDir);
  const output = createOutput(context.stdout, context.stderr, { quiet: settings.values.quiet });
  return { settings, output, client: () => findServer(context, settings) };
}
