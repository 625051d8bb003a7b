/** Completion scripts, made from the tables of commands and options. Pure. */
import { CLI_VERBS, optionsOf } from "../config/cli-options.ts";
import { DBT_COMMANDS } from "../core/dbt-commands.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

interface Completed {
  /** Such as `docs generate`. */
  readonly command: string;
  readonly help: string;
  readonly flags: readonly { readonly name: string; readonly help: string }[];
  /** Words that may follow, beside flags. */
  readonly words: readonly string[];
}

const OWN_WORDS: Readonly<Record<string, readonly string[]>> = {
  config: ["show", "get", "set", "delete"],
  completion: SHELLS,
  logs: ["latest"],
  attach: ["latest"],
  cancel: ["latest"],
  artifacts: ["latest"],
};

function ownFlags(scope: "dbt" | (typeof CLI_VERBS)[number]) {
  return optionsOf(scope).flatMap(([, { flag, help }]) => (flag === undefined ? [] : [{ name: flag as string, help }]));
}

function completions(): Completed[] {
  const dbtOwn = ownFlags("dbt");
  const dbt = DBT_COMMANDS.map(({ words, help, group, options }) => ({
    command: words.join(" "),
    help,
    flags: group
      ? []
      : [
          ...options
            .filter(({ hidden }) => !hidden)
            .flatMap(({ names, negatives, help: text }) =>
              [...names, ...negatives].filter((name) => name.startsWith("--")).map((name) => ({ name, help: text })),
            ),
          ...dbtOwn.filter(({ name }) => name !== "--help"),
        ],
    words: DBT_COMMANDS.filter(
      (other) => other.words.length === words.length + 1 && words.every((word, at) => other.words[at] === word),
    ).map((other) => other.words.at(-1) ?? ""),
  }));
  const own = CLI_VERBS.map((verb) => ({
    command: verb,
    help: "",
    flags: ownFlags(verb),
    words: OWN_WORDS[verb] ?? [],
  }));
  return [...dbt, ...own];
}

function firstWords(all: readonly Completed[]): string[] {
  return [...new Set(all.map(({ command }) => command.split(" ")[0] ?? ""))];
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** One function serves bash and zsh: it finds the command among the words, then offers its flags and words. */
function bashFunction(all: readonly Completed[]): string {
  const cases = all.map(
    ({ command, flags, words }) =>
      `    ${quote(command)}) found=${quote([...words, ...flags.map(({ name }) => name)].join(" "))} ;;`,
  );
  const first = firstWords(all);
  const groups = all.filter(
    ({ command, words }) => !command.includes(" ") && words.length > 0 && !(command in OWN_WORDS),
  );
  return `_dbt_remote() {
  local current="\${COMP_WORDS[COMP_CWORD]}" command="" word found=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$command:$word" in
      :-*) ;;
      ${first.map((word) => `:${word}`).join("|")}) command="$word" ;;
${groups.map(({ command, words }) => words.map((word) => `      ${quote(`${command}:${word}`)}) command=${quote(`${command} ${word}`)} ;;`).join("\n")).join("\n")}
    esac
  done
  case "$command" in
    "") found=${quote([...first, "--help", "--version"].join(" "))} ;;
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$found" -- "$current"))
}`;
}

function fish(all: readonly Completed[]): string {
  const lines = ["complete -c dbt-remote -n __fish_use_subcommand -f"];
  for (const word of firstWords(all)) {
    lines.push(`complete -c dbt-remote -n __fish_use_subcommand -f -a ${quote(word)}`);
  }
  for (const { command, flags, words } of all) {
    const seen = command
      .split(" ")
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join("; and ");
    for (const word of words) lines.push(`complete -c dbt-remote -n ${quote(seen)} -f -a ${quote(word)}`);
    for (const { name, help } of flags) {
      lines.push(`complete -c dbt-remote -n ${quote(seen)} -l ${name.slice(2)} -d ${quote(help)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** The script to be sourced by a shell. */
export function completionScript(shell: Shell): string {
  const all = completions();
  switch (shell) {
    case "bash":
      return `${bashFunction(all)}\ncomplete -o default -F _dbt_remote dbt-remote\n`;
    case "zsh":
      return `#compdef dbt-remote\nautoload -U +X bashcompinit && bashcompinit\n${bashFunction(all)}\ncomplete -o default -F _dbt_remote dbt-remote\n`;
    case "fish":
      return fish(all);
  }
}
