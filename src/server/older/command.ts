/** dbt's arguments from what an older client makes of them: words joined by blanks, and options apart. */
import { type DbtArgv, occurrencesOf, parseDbtArgv } from "../../core/dbt-argv.ts";
import { findCommand, findOption } from "../../core/dbt-commands.ts";
import type { DbtOption } from "../../core/dbt-options.ts";

/** Options whose value may hold blanks: YAML, SQL, times. */
const FREE_TEXT: ReadonlySet<string> = new Set([
  ...["--vars", "--args", "--warn-error-options", "--sqlparse", "--inline", "--inline-direct"],
  ...["--sample", "--event-time-start", "--event-time-end"],
]);

/**
 * What the client sends of options that nobody typed: its dbt's own defaults. They are left out, for what is typed outranks
 * the project's own flags.
 */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  cache_selected_only: false,
  debug: false,
  defer: false,
  enable_legacy_logger: false,
  fail_fast: false,
  favor_state: false,
  indirect_selection: "eager",
  introspect: true,
  log_cache_events: false,
  log_file_max_bytes: 10_485_760,
  log_format: "default",
  log_format_file: "debug",
  log_level: "info",
  log_level_file: "debug",
  macro_debugging: false,
  partial_parse: true,
  partial_parse_file_diff: true,
  populate_cache: true,
  print: true,
  printer_width: 80,
  quiet: false,
  send_anonymous_usage_stats: true,
  single_threaded: false,
  show_resource_report: false,
  static_parser: true,
  use_colors: true,
  use_colors_file: true,
  use_experimental_parser: false,
  version_check: true,
  warn_error: false,
  write_json: true,
};

/** The argv that was meant. Options of the client's own, and those that dbt does not have, are left out. */
export function olderCommand(userCommand: string, overrides: Readonly<Record<string, unknown>>): string[] {
  const argv = rejoin(userCommand);
  const parsed = parseDbtArgv(argv);
  const behindWords = parsed.parts.findLast(({ kind }) => kind === "command")?.end ?? argv.length;
  const more = Object.entries(overrides).flatMap(([name, value]) => asArguments(parsed, name, value));
  return [...argv.slice(0, behindWords), ...more, ...argv.slice(behindWords)];
}

/** Splits at blanks, and puts together again what must have been one argument. */
function rejoin(userCommand: string): string[] {
  const words = userCommand.trim().split(" ");
  const argv: string[] = [];
  for (let at = 0; at < words.length; ) {
    const word = words[at] ?? "";
    at += 1;
    if (word === "") continue;
    const equals = word.startsWith("--") ? word.indexOf("=") : -1;
    if (!FREE_TEXT.has(equals === -1 ? word : word.slice(0, equals))) {
      argv.push(word);
      continue;
    }
    const head = equals === -1 ? [] : [word.slice(equals + 1)];
    const end = valueEnd(words, at, head, parseDbtArgv(argv));
    const value = [...head, ...words.slice(at, end)].join(" ");
    if (equals === -1) argv.push(word, value);
    else argv.push(`${word.slice(0, equals)}=${value}`);
    at = end;
  }
  return argv;
}

/** Index behind the last word of a value: where its brackets are closed, else in front of the next option or command. */
function valueEnd(words: readonly string[], from: number, head: readonly string[], before: DbtArgv): number {
  const first = [...head, ...words.slice(from)].find((word) => word !== "") ?? "";
  if (/^[{[]/.test(first)) {
    for (let end = head.length > 0 ? from : from + 1; end <= words.length; end += 1) {
      if (isClosed([...head, ...words.slice(from, end)].join(" "))) return end;
    }
  }
  const { command } = before;
  // The word behind an option is its value, whatever it looks like.
  let end = head.length > 0 ? from : Math.min(from + 1, words.length);
  for (; end < words.length; end += 1) {
    const word = words[end] ?? "";
    const name = word.startsWith("--") ? (word.split("=")[0] ?? word) : word;
    if (/^--?[a-zA-Z]/.test(name) && findOption(command, name) !== undefined) break;
    if (command?.group === true && findCommand([...before.words, word]) !== undefined) break;
  }
  return end;
}

/** Whether every bracket outside of quotes has its partner. */
function isClosed(text: string): boolean {
  let depth = 0;
  let quote = "";
  for (const [index, character] of [...text].entries()) {
    if (quote !== "") {
      if (character === quote && text[index - 1] !== "\\") quote = "";
    } else if (character === '"' || (character === "'" && /[\s{[,:]/.test(text[index - 1] ?? " "))) quote = character;
    else if (character === "{" || character === "[") depth += 1;
    else if (character === "}" || character === "]") depth -= 1;
  }
  return depth === 0 && quote === "";
}

function asArguments(parsed: DbtArgv, name: string, value: unknown): string[] {
  const flag = `--${name.replaceAll("_", "-")}`;
  const found = findOption(parsed.command, flag);
  if (found === undefined || parsed.command?.options.includes(found.option) === false) return [];
  if (value === null || isDefault(name, value)) return [];
  // What was typed among the words goes before.
  if (occurrencesOf(parsed, flag).length > 0) return [];
  return ofOption(found.option, flag, value);
}

function isDefault(name: string, value: unknown): boolean {
  if (Object.hasOwn(DEFAULTS, name)) return DEFAULTS[name] === value;
  // Such as warn_error_options, which comes as lists that are empty.
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).every((each) => Array.isArray(each) && each.length === 0);
}

function ofOption({ arity, negatives }: DbtOption, flag: string, value: unknown): string[] {
  if (arity === "flag") {
    if (value === true) return [flag];
    return value === false ? negatives.slice(0, 1) : [];
  }
  if (Array.isArray(value)) return arity === "multi" && value.length > 0 ? [flag, ...value.map(String)] : [];
  return [flag, typeof value === "object" ? JSON.stringify(value) : String(value)];
}
