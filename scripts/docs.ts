/**
 * Writes the pages of docs/ that say what the code's tables say: `npm run docs`. A test fails where they differ, so
 * they can't drift.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { VERB_HELP } from "../src/cli/help.ts";
import { CLI_OPTIONS, CLI_VERBS, type CliOptionSpec, optionsOf } from "../src/config/cli-options.ts";
import type { OptionSpec } from "../src/config/options.ts";
import { DBT_COMMANDS } from "../src/core/dbt-commands.ts";
import { ERROR_CODES, type ErrorCode } from "../src/core/errors.ts";
import { EXIT_CODES } from "../src/core/exit-codes.ts";
import { SERVER_OPTIONS } from "../src/server/options.ts";

const ERROR_MEANINGS: Readonly<Record<ErrorCode, string>> = {
  bad_request: "The request is not of the form that the API describes.",
  bad_argument: "An option or argument has a value that it can't have.",
  bad_project: "The project can't be read or sent as it is.",
  bad_profile: "The profile can't be used as it is.",
  project_changed: "A file changed while it was being sent. Run the command again.",
  path_outside: "A path or link leads out of what may be sent or written.",
  unauthorized: "No token, or one that the server does not accept.",
  forbidden: "The token is good, and does not allow this.",
  host_refused: "The Host or Origin header is not one that a local server answers to.",
  run_not_found: "No run of that id, number or description.",
  run_ambiguous: "The beginning of an id fits several runs.",
  artifact_not_found: "The run has no artifact of that path.",
  route_not_found: "The API has no such route.",
  idempotency_conflict: "The idempotency key stands for another command already.",
  run_finished: "The run has ended, so this can't be done to it any more.",
  workspace_busy: "Another run keeps the workspace busy, and waiting was not wanted.",
  snapshot_unknown: "The server does not have this snapshot; clients send it, then post again.",
  snapshot_base_unknown: "The server does not have the snapshot that a difference starts from; clients send the whole.",
  blobs_missing: "Contents of the snapshot have yet to be sent; `details.missing` lists them.",
  blob_corrupt: "Bytes do not have the hash that they were announced with.",
  upload_offset: "A part of an upload starts at the wrong place; `details.offset` says where to go on.",
  too_large: "The request is larger than the server takes.",
  state_locked: "Another server uses the data folder.",
  state_schema: "The data folder was written by another version.",
  state_corrupt: "Something in the data folder can't be read.",
  state_unavailable: "State did not answer.",
  data_folder: "The data folder can't be used.",
  disk_full: "There is no room left on the disk.",
  port_in_use: "Another program listens on the port.",
  node_too_old: "dbt-server needs a newer Node.",
  dbt_not_found: "No Python with dbt was found.",
  adapter_not_found: "dbt has no adapter for the profile's warehouse.",
  identity_unavailable: "Who somebody is can't be shown or checked now: no ID token, or no keys of its issuer.",
  server_draining: "The server is about to end.",
  server_not_found: "No dbt-server was found.",
  server_unreachable: "The dbt-server does not answer.",
  server_untrusted:
    "The dbt-server can't show that it is the user's own, or was named by a project that is not trusted.",
  connection_lost: "The connection was lost and could not be mended; the run goes on.",
  interrupted: "A signal ended the command.",
  internal: "Something that should not happen. The server's log has the cause, under the request's id.",
};

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
const code = (text: string | undefined) => (text === undefined || text === "" ? "–" : `\`${cell(text)}\``);
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

const GENERATED = "<!-- Made by `npm run docs` from the code's tables. -->";

function flags(spec: OptionSpec<unknown>): string {
  const names = [spec.flag, ...(spec.aliases ?? [])].filter((name) => name !== undefined);
  return names.length === 0 ? "–" : code(`${names.join(", ")} ${spec.kind.placeholder}`.trim());
}

function byDefault(spec: OptionSpec<unknown>): string {
  if (spec.defaultText !== undefined) return cell(spec.defaultText);
  const value = spec.default;
  return value === undefined || value === false || String(value) === "" ? "–" : code(String(value));
}

function cliPage(): string {
  const commands = DBT_COMMANDS.map(({ words, help }) => [code(`dbt-remote ${words.join(" ")}`), cell(help)]);
  const verbs = CLI_VERBS.map((verb) => [code(`dbt-remote ${VERB_HELP[verb].usage}`), cell(VERB_HELP[verb].help)]);
  const options = (scope: Parameters<typeof optionsOf>[0]) =>
    table(
      ["option", "what it does"],
      optionsOf(scope).map(([, spec]) => [flags(spec), cell(spec.help)]),
    );
  return [
    GENERATED,
    "# The command line",
    "`dbt-remote` takes every command and option of dbt Core 1.8 to 1.12 as dbt does. `init` and `docs serve` are about this machine: the local dbt runs them.",
    "## Commands of dbt",
    table(["command", "what it does"], commands),
    "Beside dbt's own options, each takes these, anywhere among the others:",
    options("dbt"),
    "## Commands of dbt-remote",
    "RUN is a run's number, its id, the first four or more characters of its id with a letter among them, or `latest`: the caller's own latest run in this workspace.",
    table(["command", "what it does"], verbs),
    ...CLI_VERBS.flatMap((verb) => [`### ${verb}`, options(verb)]),
    "## Exit codes",
    table(
      ["code", "meaning"],
      EXIT_CODES.map((row) => [String(row.code), cell(row.meaning)]),
    ),
    "## Signals",
    [
      "- The first Ctrl-C (or SIGTERM) asks the server to cancel and follows the run to its true end; the second leaves at once and says how to attach again.",
      "- SIGHUP detaches: the run goes on.",
      "- Ctrl-C while files are being sent posts nothing.",
      "- A closed pipe (`| head`) changes nothing but the output: the exit code is dbt's.",
    ].join("\n"),
    "## Errors",
    "An error names what failed, with the value, and the next step. The API answers `{error: {code, message, hint?, details?}}` with the status below.",
    table(
      ["code", "HTTP", "exit code", "meaning"],
      (Object.keys(ERROR_CODES) as ErrorCode[]).map((name) => [
        code(name),
        String(ERROR_CODES[name].status),
        String(ERROR_CODES[name].exit),
        cell(ERROR_MEANINGS[name]),
      ]),
    ),
  ].join("\n\n");
}

function configurationPage(): string {
  const cliRows = (Object.values(CLI_OPTIONS) as CliOptionSpec[])
    .filter(({ env, key }) => env !== undefined || key !== undefined)
    .map((spec) => [flags(spec), code(spec.env), code(spec.key), byDefault(spec), spec.needsTrust ? "yes" : ""]);
  const serverRows = Object.values<OptionSpec<unknown>>(SERVER_OPTIONS).map((spec) => [
    flags(spec),
    code(spec.env),
    byDefault(spec),
    cell(spec.help),
  ]);
  return [
    GENERATED,
    "# Configuration",
    "Every option can be set in up to three places; a flag wins over the environment, the environment over a file, a file over the default.",
    "## dbt-remote",
    "Files: `dbt_remote.yml` beside `dbt_project.yml`, then the user's own `~/.config/dbt-remote/config.yml` (`dbt-remote config set` writes it). What says where credentials go is used from a project's file only after you have trusted it once: you are asked on a terminal, `--trust-project-config` says so in CI.",
    table(["option", "environment", "key in the file", "default", "needs trust"], cliRows),
    "The `DBT_*` variables that are dbt's own flags act as they do locally.",
    "## dbt-server",
    table(["option", "environment", "default", "what it does"], serverRows),
  ].join("\n\n");
}

/** The generated pages: path below the project's folder, and text. */
export function pages(): Readonly<Record<string, string>> {
  return { "docs/cli.md": `${cliPage()}\n`, "docs/configuration.md": `${configurationPage()}\n` };
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(pages())) {
    writeFileSync(join(import.meta.dirname, "..", path), text);
    console.log(`wrote ${path}`);
  }
}
