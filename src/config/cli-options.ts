/** Every option of dbt-remote in one table: parser, `--help`, completion and docs are made from it. */

import type { OptionKind } from "./option-kinds.ts";
import { durationMs, flag, integer, list, oneOf, parseDurationMs, text, url } from "./option-kinds.ts";
import { type OptionSpec, option } from "./options.ts";

/** dbt-remote's own verbs. Every other command is dbt's. */
export const CLI_VERBS = ["runs", "logs", "attach", "cancel", "artifacts", "config", "completion"] as const;
export type CliVerb = (typeof CLI_VERBS)[number];

/** What an option belongs to: `dbt` is every dbt command. */
export type CliScope = "dbt" | CliVerb;

const EVERYWHERE = ["dbt", ...CLI_VERBS] as const;
const TALKING = ["dbt", "runs", "logs", "attach", "cancel", "artifacts"] as const;
const FOLLOWING = ["dbt", "attach"] as const;
const DBT = ["dbt"] as const;

/** What the CLI adds to a row of the option machinery. */
export interface CliOptionExtras {
  readonly scopes: readonly CliScope[];
  /** A value from a project's file counts only after the user has trusted it: it says where credentials go. */
  readonly needsTrust?: true;
}
export type CliOptionSpec = OptionSpec<unknown> & CliOptionExtras;

/** A length of time, or a word that switches the limit off: then 0. */
function durationOrOff(): OptionKind<number> {
  const timed = durationMs({ minMs: 1000 });
  return {
    ...timed,
    wanted: "a length of time such as 60s or 10m, or off",
    example: "60s",
    parse: (texts) => (["off", "0", "never", "false"].includes(texts.at(-1) ?? "") ? 0 : timed.parse(texts)),
  };
}

/** A moment as ISO 8601, or a length of time before now; kept as it was written. */
function moment(): OptionKind<string> {
  return {
    ...text("TIME", "2h"),
    wanted: "a time such as 2026-01-31T08:00:00Z, or how long ago, such as 2h",
    parse: (texts) => {
      const value = texts.at(-1) ?? "";
      if (parseDurationMs(value) === undefined && Number.isNaN(Date.parse(value))) throw new Error("no time");
      return value;
    },
  };
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const names = () => list("NAME", NAME, "names of environment variables");

export const CLI_OPTIONS = {
  serverUrl: option(url(), {
    flag: "--server-url",
    env: "DBT_SERVER_URL",
    key: "server_url",
    defaultText: "the local server, then detection on Google Cloud",
    help: "The dbt-server to talk to.",
    scopes: TALKING,
    needsTrust: true,
  }),
  token: option(text("TOKEN"), {
    flag: "--token",
    env: "DBT_SERVER_TOKEN",
    isSecret: true,
    defaultText: "an ID token where the server wants one",
    help: "Token to present to the server. Prefer the environment variable: arguments can be read by others.",
    scopes: TALKING,
  }),
  projectId: option(text("ID"), {
    flag: "--project-id",
    env: "PROJECT_ID",
    key: "project_id",
    defaultText: "gcloud's project",
    help: "Google Cloud project to look for a server in.",
    scopes: TALKING,
    needsTrust: true,
  }),
  location: option(text("REGION"), {
    flag: "--location",
    env: "LOCATION",
    key: "location",
    defaultText: "every region",
    help: "Google Cloud region to look for a server in.",
    scopes: TALKING,
    needsTrust: true,
  }),
  trustProjectConfig: option(flag(), {
    flag: "--trust-project-config",
    env: "DBT_REMOTE_TRUST_PROJECT_CONFIG",
    default: false,
    help: "Trust the server that the project's dbt_remote.yml names, without asking.",
    scopes: TALKING,
  }),
  workspace: option(text("NAME"), {
    flag: "--workspace",
    env: "DBT_REMOTE_WORKSPACE",
    key: "workspace",
    defaultText: "one of its own for each checkout",
    help: "Name of the workspace to work in; runs that give the same name share it.",
    scopes: ["dbt", "runs", "logs", "attach", "cancel", "artifacts"],
  }),
  manifest: option(text("FILE"), {
    flag: "--manifest",
    key: "manifest",
    defaultText: "the project is sent",
    help: "Send this manifest.json in place of the project's SQL (manifest-only mode).",
    scopes: DBT,
  }),
  extraPackages: option(text("FILE"), {
    flag: "--extra-packages",
    key: "extra_packages",
    help: "A packages.yml to send with --manifest.",
    scopes: DBT,
  }),
  seedsPath: option(text("DIR"), {
    flag: "--seeds-path",
    key: "seeds_path",
    defaultText: "the project's seed-paths",
    help: "Folder of the seeds to send with --manifest.",
    scopes: DBT,
  }),
  include: option(list("GLOB", undefined, "a list of patterns"), {
    key: "include",
    default: [],
    help: "More files of the project to send, beside those that dbt's own settings name.",
    scopes: DBT,
  }),
  env: option(names(), {
    flag: "--env",
    env: "DBT_REMOTE_ENV",
    key: "env",
    default: [],
    defaultText: "the names that project and profile use",
    help: "Send this environment variable too.",
    scopes: DBT,
  }),
  secretNames: option(names(), {
    flag: "--secret-name",
    env: "DBT_REMOTE_SECRET_NAMES",
    key: "secret_names",
    default: [],
    help: "Treat this environment variable as a secret: never stored, shown as *****, sent only with --send-secret.",
    scopes: DBT,
  }),
  sendSecret: option(names(), {
    flag: "--send-secret",
    env: "DBT_REMOTE_SEND_SECRET",
    key: "send_secret",
    default: [],
    help: "Send the value of this secret environment variable.",
    scopes: DBT,
    needsTrust: true,
  }),
  sendKeyfile: option(flag(), {
    flag: "--send-keyfile",
    env: "DBT_REMOTE_SEND_KEYFILE",
    key: "send_keyfile",
    default: false,
    help: "Send the key and certificate files that the profile points at.",
    scopes: DBT,
    needsTrust: true,
  }),
  detach: option(flag(), {
    flag: "--detach",
    env: "DBT_REMOTE_DETACH",
    key: "detach",
    default: false,
    help: "Print the run's id and leave; the run goes on.",
    scopes: DBT,
  }),
  noWait: option(flag(), {
    flag: "--no-wait",
    env: "DBT_REMOTE_NO_WAIT",
    key: "no_wait",
    default: false,
    help: "Fail where another run keeps the workspace busy, instead of waiting for it.",
    scopes: DBT,
  }),
  timeout: option(durationMs({ minMs: 1000 }), {
    flag: "--timeout",
    env: "DBT_REMOTE_TIMEOUT",
    key: "timeout",
    defaultText: "none",
    help: "Stop dbt when it has run this long.",
    scopes: DBT,
  }),
  cancelOnDisconnect: option(durationOrOff(), {
    flag: "--cancel-on-disconnect",
    env: "DBT_REMOTE_CANCEL_ON_DISCONNECT",
    key: "cancel_on_disconnect",
    defaultText: "60s where CI is set and the run is not detached, else off",
    help: "Cancel the run when nobody has followed it for this long; off to never do so.",
    scopes: DBT,
  }),
  idempotencyKey: option(text("KEY"), {
    flag: "--idempotency-key",
    env: "DBT_REMOTE_IDEMPOTENCY_KEY",
    defaultText: "a random one",
    help: "Two commands with the same key are one run.",
    scopes: DBT,
  }),
  jobProfile: option(text("NAME"), {
    flag: "--job-profile",
    env: "DBT_REMOTE_JOB_PROFILE",
    key: "job_profile",
    help: "The server's job profile to run with.",
    scopes: DBT,
  }),
  elementary: option(flag(), {
    flag: "--elementary",
    env: "DBT_REMOTE_ELEMENTARY",
    key: "elementary",
    default: false,
    help: "Make the Elementary report after the command.",
    scopes: DBT,
  }),
  reconnectTimeout: option(durationMs({ minMs: 1000 }), {
    flag: "--reconnect-timeout",
    env: "DBT_REMOTE_RECONNECT_TIMEOUT",
    key: "reconnect_timeout",
    default: 120_000,
    defaultText: "2m",
    help: "How long to try to reach a server that stopped answering before giving up with exit code 75.",
    scopes: FOLLOWING,
  }),
  json: option(flag(), {
    flag: "--json",
    env: "DBT_REMOTE_JSON",
    key: "json",
    default: false,
    help: "Print JSON.",
    scopes: ["dbt", "runs", "cancel", "artifacts", "config"],
  }),
  follow: option(flag(), {
    flag: "--follow",
    aliases: ["-f"],
    default: false,
    help: "Go on until the run has ended.",
    scopes: ["logs"],
  }),
  all: option(flag(), {
    flag: "--all",
    default: false,
    help: "Runs of every workspace, also of others.",
    scopes: ["runs", "logs", "attach", "cancel", "artifacts"],
  }),
  status: option(oneOf(["pending", "running", "success", "failed", "cancelled"], "STATUS"), {
    flag: "--status",
    help: "Only runs with this status.",
    scopes: ["runs"],
  }),
  command: option(text("COMMAND", "build"), {
    flag: "--command",
    help: "Only runs of this dbt command, such as build or 'docs generate'.",
    scopes: ["runs"],
  }),
  since: option(moment(), {
    flag: "--since",
    help: "Only runs made after this time, or in this last length of time, such as 2h.",
    scopes: ["runs"],
  }),
  until: option(moment(), { flag: "--until", help: "Only runs made before this time.", scopes: ["runs"] }),
  limit: option(integer({ min: 1, max: 1000 }), {
    flag: "--limit",
    default: 20,
    help: "How many runs to list.",
    scopes: ["runs"],
  }),
  output: option(text("DIR"), {
    flag: "--output",
    aliases: ["-o"],
    defaultText: "list them only",
    help: "Folder to write the run's artifacts to.",
    scopes: ["artifacts"],
  }),
  project: option(flag(), {
    flag: "--project",
    default: false,
    help: "Change the project's dbt_remote.yml, not the user's own configuration.",
    scopes: ["config"],
  }),
  quiet: option(flag(), {
    flag: "--quiet",
    aliases: ["-q"],
    default: false,
    help: "Nothing on stderr but errors.",
    scopes: ["logs", "attach", "cancel", "artifacts"],
  }),
  projectDir: option(text("DIR"), {
    flag: "--project-dir",
    defaultText: "DBT_PROJECT_DIR, else the nearest parent folder with a dbt_project.yml",
    help: "The dbt project.",
    scopes: ["runs", "logs", "attach", "cancel", "artifacts", "config"],
  }),
  help: option(flag(), {
    flag: "--help",
    aliases: ["-h"],
    default: false,
    help: "Explain and exit.",
    scopes: EVERYWHERE,
  }),
} as const;

export type CliOptionName = keyof typeof CLI_OPTIONS;

/** Rows of one verb, or of every dbt command; the table's order. */
export function optionsOf(scope: CliScope): [name: CliOptionName, spec: CliOptionSpec][] {
  const rows = Object.entries(CLI_OPTIONS) as [CliOptionName, CliOptionSpec][];
  return rows.filter(([, spec]) => spec.scopes.includes(scope));
}
