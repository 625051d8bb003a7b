/** `--help` at every level, from the tables; needs no server. Pure. */
import { CLI_VERBS, type CliOptionSpec, type CliScope, type CliVerb, optionsOf } from "../config/cli-options.ts";
import { DBT_COMMANDS, type DbtCommand, findCommand } from "../core/dbt-commands.ts";
import type { DbtOption } from "../core/dbt-options.ts";

const INDENT = "  ";
const LEFT_WIDTH = 30;

/** What each of dbt-remote's own verbs is for, and what it takes. */
export const VERB_HELP: Readonly<Record<CliVerb, { readonly usage: string; readonly help: string }>> = {
  runs: { usage: "runs", help: "List runs, newest first." },
  logs: { usage: "logs RUN", help: "Print what a run has printed." },
  attach: { usage: "attach RUN", help: "Follow a run, bring back what it makes, and exit with its code." },
  cancel: { usage: "cancel RUN", help: "Ask a run to stop." },
  artifacts: { usage: "artifacts RUN", help: "List what a run made, or write it to a folder." },
  config: { usage: "config show | get KEY | set KEY VALUE | delete KEY", help: "See and change the configuration." },
  completion: { usage: "completion bash | zsh | fish", help: "Print a completion script for a shell." },
};

const RUN_HELP = "RUN is a run's number, its id or the first 4 characters of it, or latest.";

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** Rows of names with explanations behind them. */
function listing(rows: readonly (readonly [left: string, right: string])[], columns: number): string {
  const width = Math.max(20, columns - LEFT_WIDTH - INDENT.length);
  return rows
    .map(([left, right]) => {
      const [first = "", ...more] = wrap(right, width);
      const fits = left.length < LEFT_WIDTH;
      const head = fits
        ? `${INDENT}${left.padEnd(LEFT_WIDTH)}${first}`
        : `${INDENT}${left}\n${INDENT}${" ".repeat(LEFT_WIDTH)}${first}`;
      return [head, ...more.map((line) => `${INDENT}${" ".repeat(LEFT_WIDTH)}${line}`)].join("\n").trimEnd();
    })
    .join("\n");
}

function ownRow({ flag, aliases = [], kind, env, help, default: value, defaultText }: CliOptionSpec): [string, string] {
  const byDefault =
    defaultText ?? (value === undefined || value === false || String(value) === "" ? "" : String(value));
  const notes = [env === undefined ? "" : `env ${env}`, byDefault === "" ? "" : `default: ${byDefault}`];
  const said = notes.filter((note) => note !== "").join("; ");
  const names = [...aliases, flag ?? ""].join(", ");
  return [kind.placeholder === "" ? names : `${names} ${kind.placeholder}`, said === "" ? help : `${help} (${said})`];
}

function ownOptions(scope: CliScope, columns: number): string {
  const rows = optionsOf(scope).filter(([, spec]) => spec.flag !== undefined);
  return listing(
    rows.map(([, spec]) => ownRow(spec)),
    columns,
  );
}

function dbtRow({ names, negatives, arity, choices, help }: DbtOption): [string, string] {
  const all = [
    ...names.filter((name) => !name.startsWith("--")),
    ...names.filter((name) => name.startsWith("--")),
    ...negatives,
  ];
  const value = { flag: "", value: " VALUE", multi: " VALUE…" }[arity];
  return [all.join(", ") + value, choices.length === 0 ? help : `${help} One of: ${choices.join(", ")}.`];
}

function dbtCommandHelp(command: DbtCommand, columns: number): string {
  const { words, help, argument, options } = command;
  const takes = argument === null ? "" : argument.required ? ` ${argument.name}` : ` [${argument.name}]`;
  const shown = options.filter(({ hidden }) => !hidden);
  return [
    `Usage: dbt-remote ${words.join(" ")} [OPTIONS]${takes}`,
    "",
    `${INDENT}${help}`,
    "",
    "Options of dbt:",
    listing(shown.map(dbtRow), columns),
    "",
    "Options of dbt-remote, anywhere on the line:",
    ownOptions("dbt", columns),
    "",
  ].join("\n");
}

function groupHelp(words: readonly string[], columns: number): string {
  const under = DBT_COMMANDS.filter(
    (command) => command.words.length > words.length && words.every((word, at) => command.words[at] === word),
  );
  const rows = under.map(({ words: all, help }): [string, string] => [all.join(" "), help]);
  return [`Usage: dbt-remote ${words.join(" ")} COMMAND [OPTIONS]`, "", "Commands:", listing(rows, columns), ""].join(
    "\n",
  );
}

function verbHelp(verb: CliVerb, columns: number): string {
  const { usage, help } = VERB_HELP[verb];
  const about = usage.includes("RUN") ? [`${INDENT}${RUN_HELP}`, ""] : [];
  return [
    `Usage: dbt-remote ${usage} [OPTIONS]`,
    "",
    `${INDENT}${help}`,
    "",
    ...about,
    "Options:",
    ownOptions(verb, columns),
    "",
  ].join("\n");
}

function rootHelp(columns: number): string {
  const commands = DBT_COMMANDS.filter(({ group }) => !group);
  return [
    "Usage: dbt-remote COMMAND [OPTIONS]",
    "",
    `${INDENT}Runs any dbt command on a dbt-server, as if it had run here.`,
    "",
    "Commands of dbt:",
    listing(
      commands.map(({ words, help }): [string, string] => [words.join(" "), help]),
      columns,
    ),
    "",
    "Commands of dbt-remote:",
    listing(
      CLI_VERBS.map((verb): [string, string] => [VERB_HELP[verb].usage, VERB_HELP[verb].help]),
      columns,
    ),
    "",
    "Options of dbt-remote (COMMAND --help lists those of dbt too):",
    ownOptions("dbt", columns),
    listing([["-v, -V, --version", "The versions of dbt, of this program and of the server."]], columns),
    "",
  ].join("\n");
}

/** The text for the words that stood in front of `--help`. */
export function helpText(words: readonly string[], columns: number): string {
  const width = Math.max(60, Math.min(columns, 120));
  const [first] = words;
  if (first === undefined) return rootHelp(width);
  const verb = CLI_VERBS.find((each) => each === first);
  if (verb !== undefined) return verbHelp(verb, width);
  const command = findCommand(words);
  if (command === undefined) return rootHelp(width);
  return command.group ? groupHelp(words, width) : dbtCommandHelp(command, width);
}
