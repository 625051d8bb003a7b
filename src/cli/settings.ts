/** The options of one command from flags, environment, both configuration files and defaults. */
import { CLI_OPTIONS, type CliOptionName, type CliOptionSpec } from "../config/cli-options.ts";
import { type FlagTexts, type OptionValues, parseOptions } from "../config/options.ts";
import { type ConfigFile, projectConfigPath, readConfigFile, userConfigPath } from "./config-files.ts";
import type { CliContext } from "./context.ts";

export type CliValues = OptionValues<typeof CLI_OPTIONS>;
export type Origin = "flag" | "environment" | "project" | "user" | "default";

export interface Settings {
  readonly values: CliValues;
  readonly origins: Readonly<Record<CliOptionName, Origin>>;
  readonly projectFile: ConfigFile;
  readonly userFile: ConfigFile;
  readonly projectDir: string;
}

/** Values of the project's file win over those of the user's own. Trust is not looked at here: see trust.ts. */
export async function loadSettings(
  context: Pick<CliContext, "env">,
  flags: FlagTexts,
  projectDir: string,
): Promise<Settings> {
  const { env } = context;
  const [projectFile, userFile] = await Promise.all([
    readConfigFile(projectConfigPath(projectDir)),
    readConfigFile(userConfigPath(env)),
  ]);
  // Each by itself first, so that an error names the file that has it.
  for (const file of [projectFile, userFile]) {
    parseOptions(CLI_OPTIONS, { file: { name: file.path, values: file.values } });
  }
  const merged = { ...userFile.values, ...dropNulls(projectFile.values) };
  const { values, sources } = parseOptions(CLI_OPTIONS, {
    flags,
    env,
    file: { name: "dbt_remote.yml", values: merged },
  });
  const origins = Object.fromEntries(
    Object.entries(sources).map(([name, source]) => {
      const key = (CLI_OPTIONS[name as CliOptionName] as CliOptionSpec).key ?? "";
      const isProjects = (projectFile.values[key] ?? null) !== null;
      return [name, source === "file" ? (isProjects ? "project" : "user") : source];
    }),
  ) as Record<CliOptionName, Origin>;
  return { values, origins, projectFile, userFile, projectDir };
}

function dropNulls(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
}
