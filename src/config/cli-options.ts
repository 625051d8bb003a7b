/** Every option of dbt-remote in one table: parser, `--help`, completion and docs are made from it. */
import { type CliOptionSpec, type CliScope, DBT, FOLLOWING } from "./cli-scopes.ts";
import { SERVER_CHOICE_OPTIONS } from "./cli-server-options.ts";
import { VERB_OPTIONS } from "./cli-verb-options.ts";
import type { OptionKind } from "./option-kinds.ts";
import { durationMs, flag, list, text } from "./option-kinds.ts";
import { option } from "./options.ts";

export { CLI_VERBS, type CliOptionSpec, type CliScope, type CliVerb } from "./cli-scopes.ts";

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

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const names = () => list("NAME", NAME, "names of environment variables");

export const CLI_OPTIONS = {
  ...SERVER_CHOICE_OPTIONS,
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
  ...VERB_OPTIONS,
} as const;

export type CliOptionName = keyof typeof CLI_OPTIONS;

/** Rows of one verb, or of every dbt command; the table's order. */
export function optionsOf(scope: CliScope): [name: CliOptionName, spec: CliOptionSpec][] {
  const rows = Object.entries(CLI_OPTIONS) as [CliOptionName, CliOptionSpec][];
  return rows.filter(([, spec]) => spec.scopes.includes(scope));
}
