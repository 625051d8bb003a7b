/** Which environment variables are dbt's flags, which a text asks for, which are secret, and which never travel. Pure. */
import { ALL_OPTIONS } from "./dbt-commands.ts";
import type { DbtOption, DbtPath } from "./dbt-options.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const OPTION_BY_VARIABLE: ReadonlyMap<string, DbtOption> = new Map(
  ALL_OPTIONS.flatMap((option) => option.env.map((name) => [name, option] as const)),
);

/** Variables that dbt reads as settings though no option has them. */
const SETTINGS_WITHOUT_OPTION = ["DBT_INVOCATION_ENV", "DBT_PACKAGE_HUB_URL"];
const SETTINGS: ReadonlySet<string> = new Set([
  ...SETTINGS_WITHOUT_OPTION,
  ...SETTINGS_WITHOUT_OPTION.map((name) => name.replace("DBT_", "DBT_ENGINE_")),
  "DO_NOT_TRACK",
]);

/** Names of all variables that act as dbt flags. */
export const DBT_FLAG_VARIABLES: readonly string[] = [...OPTION_BY_VARIABLE.keys()];

export function isDbtFlagVariable(name: string): boolean {
  return OPTION_BY_VARIABLE.has(name) || SETTINGS.has(name);
}

/** Those of the environment that act as dbt flags or settings, path-valued ones untranslated. */
export function dbtFlagVariables(env: Environment): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && isDbtFlagVariable(name)) found[name] = value;
  }
  return found;
}

/** What the path in a flag variable points at and is relative to; null where the variable is no path. */
export function pathOfVariable(name: string): DbtPath | null {
  return OPTION_BY_VARIABLE.get(name)?.path ?? null;
}

/** The value that dbt takes for an option from the environment: the first that is not empty. */
export function valueFromEnvironment(option: DbtOption, env: Environment): string | undefined {
  for (const name of option.env) {
    const value = env[name];
    if (value !== undefined && value !== "") return value;
  }
  return undefined;
}

/** dbt copies these into the metadata of its artifacts, whether a text names them or not. */
export function isCustomMetadataName(name: string): boolean {
  return name.startsWith("DBT_ENV_CUSTOM_ENV_");
}

/** Names that dbt itself treats as secret, and those that the user listed. */
export function isSecretName(name: string, extra: readonly string[]): boolean {
  return name.startsWith("DBT_ENV_SECRET") || extra.includes(name);
}

// Inside YAML strings the quotes of a Jinja string may themselves be escaped: \"X\" or ''X''.
const ENV_VAR_CALL = /\benv_var\s*\(\s*(?:var\s*=\s*)?(\\?"|\\?'|'')([^'"\\\r\n=\0]+)\1/g;

/** The names that a text asks for through `env_var('NAME')`, each once. Names put together at run time can't be seen. */
export function namesUsed(text: string): string[] {
  const names = new Set<string>();
  for (const [, , name] of text.matchAll(ENV_VAR_CALL)) {
    if (name !== undefined) names.add(name);
  }
  return [...names];
}

/** They describe the machine that a program runs on, or decide what code it loads. */
const OF_THE_MACHINE: ReadonlySet<string> = new Set([
  ...["PATH", "HOME", "PWD", "OLDPWD", "SHELL", "SHLVL", "IFS", "ENV", "BASH_ENV", "TMPDIR", "TMP", "TEMP"],
  ...["VIRTUAL_ENV", "CONDA_PREFIX", "NODE_OPTIONS", "NODE_PATH"],
  ...["GIT_TERMINAL_PROMPT", "GIT_ASKPASS", "SSH_ASKPASS"],
  ...["USERPROFILE", "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT"],
]);
const NEVER_SENT_PREFIXES = ["PYTHON", "LD_", "DYLD_", "BASH_FUNC_", "DBT_SERVER_", "DBT_REMOTE_"];

/** False for what must neither be sent to a run nor override a variable there. Case counts for nothing, as on Windows. */
export function mayBeSent(name: string): boolean {
  if (name === "" || /[=\0]/.test(name)) return false;
  const upper = name.toUpperCase();
  return !OF_THE_MACHINE.has(upper) && !NEVER_SENT_PREFIXES.some((prefix) => upper.startsWith(prefix));
}
