/**
 * The environment that dbt's process sees. Whatever `env_var()` can read may end in compiled SQL and metadata, so
 * nothing of the server's environment passes but the names listed here and those of `--job-env`.
 */
import { isSecretName, mayBeSent } from "../core/dbt-environment.ts";

/** Names that pass from the server's own environment; a trailing `*` stands for any ending. Shown in the docs. */
export const ALLOWED_NAMES = [
  // the machine and its user
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "SHELL",
  "TMPDIR",
  // language and time zone
  "LANG",
  "LANGUAGE",
  "LC_*",
  "TZ",
  // certificates
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "REQUESTS_CA_BUNDLE",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  // proxies
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "ALL_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "all_proxy",
  "no_proxy",
] as const;

/** dbt-remote's own variables: they never reach dbt, wherever they come from. */
const OWN_NAMES = ["DBT_SERVER_*", "DBT_REMOTE_*"];

export interface DbtEnvironmentOptions {
  readonly serverEnv: Readonly<Record<string, string | undefined>>;
  /** Further names that pass from `serverEnv`, as of `--job-env`; a trailing `*` stands for any ending. */
  readonly allow: readonly string[];
  /** Values that came with the run. They win over the server's, but for names that may not be sent and for secrets. */
  readonly envelopeEnv: Readonly<Record<string, string>>;
  /** Names, beside `DBT_ENV_SECRET*`, whose values are secret: where `allow` gives the server's value, it wins. */
  readonly secretNames?: readonly string[];
  /** The job's own values; they win over everything. */
  readonly own: Readonly<Record<string, string>>;
}

/** The whole environment of dbt's process. Git never prompts in it. */
export function dbtEnvironment(options: DbtEnvironmentOptions): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.serverEnv)) {
    if (value === undefined || matches(OWN_NAMES, name)) continue;
    if (matches(ALLOWED_NAMES, name) || matches(options.allow, name)) result[name] = value;
  }
  for (const [name, value] of Object.entries(options.envelopeEnv)) {
    if (!mayBeSent(name)) continue;
    // A secret comes from the server first: an operator who names it means that one to be used.
    const fromServer = Object.hasOwn(result, name) && matches(options.allow, name);
    if (!(fromServer && isSecretName(name, options.secretNames ?? []))) result[name] = value;
  }
  return { ...result, GIT_TERMINAL_PROMPT: "0", ...options.own };
}

function matches(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => (pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name));
}
