/**
 * Reads dbt's argv as click and dbt's own swallowing options do. Pure; never throws: what dbt would refuse is
 * kept as `unknown`, so that dbt itself can refuse it.
 */
import { DBT_ROOT, type DbtCommand, findCommand, findOption } from "./dbt-commands.ts";
import type { DbtOption } from "./dbt-options.ts";

/** One use of an option. Flags that share a token (`-xd`) have the same `start`. */
export interface OptionOccurrence {
  readonly option: DbtOption;
  /** As typed, without its value: `--select`, `-s`, `--no-defer`. */
  readonly name: string;
  readonly negated: boolean;
  /** Index of the option's token. */
  readonly start: number;
  /** Index behind its last value's token. */
  readonly end: number;
  /** As typed, one per token; empty for a flag, and where the value is missing. */
  readonly values: readonly string[];
  /** The part of the first token in front of an attached value (`--state=`, `-o`); null where none is attached. */
  readonly attachedTo: string | null;
  /** Number of command words in front of it: 0 is before the command. */
  readonly level: number;
}

/** A stretch of argv. `unknown`: an option that dbt does not have, or a flag with a value. */
export interface ArgvPart {
  readonly kind: "command" | "option" | "positional" | "separator" | "unknown";
  readonly start: number;
  readonly end: number;
}

export interface DbtArgv {
  readonly argv: readonly string[];
  /** The command under its one name: `list`, `docs generate`, `source freshness`; empty where there is none. */
  readonly verb: string;
  /** The command's words as typed. */
  readonly words: readonly string[];
  /** Undefined where dbt has no such command. */
  readonly command: DbtCommand | undefined;
  readonly options: readonly OptionOccurrence[];
  readonly positionals: readonly { readonly index: number; readonly value: string }[];
  /** Covers argv in order and without gaps. */
  readonly parts: readonly ArgvPart[];
}

/** Looks at the token at `index`, which dbt would read as an option, and says how many tokens are not dbt's. */
export type TakeForeign = (index: number) => number;

/** `parseDbtArgv` with tokens in between that are not dbt's; `parts` has gaps where they stood. */
export function scanDbtArgv(argv: readonly string[], takeForeign: TakeForeign): DbtArgv {
  const words: string[] = [];
  const options: OptionOccurrence[] = [];
  const positionals: { index: number; value: string }[] = [];
  const parts: ArgvPart[] = [];
  let command: DbtCommand | undefined = DBT_ROOT;
  let optionsEnded = false;
  let separatorSeen = false;
  let index = 0;

  const skipForeign = (at: number) => (separatorSeen ? 0 : takeForeign(at));
  const add = (kind: ArgvPart["kind"], start: number, end: number) => {
    parts.push({ kind, start, end });
    index = end;
  };

  /** The values of an option that takes some, from the token at `from` on; what is attached comes first. */
  const readValues = (option: DbtOption, from: number, attached: string | undefined) => {
    const values: string[] = [];
    let end = from;
    if (attached !== undefined) values.push(attached);
    else {
      const next = argv[end];
      if (next === undefined) return { values, end };
      values.push(next);
      end += 1;
    }
    let at = end;
    while (option.arity === "multi" && at < argv.length) {
      const next = argv[at] ?? "";
      if (!next.startsWith("-")) {
        values.push(next);
        at += 1;
        end = at;
        continue;
      }
      const foreign = skipForeign(at);
      if (foreign === 0) break;
      at += foreign;
    }
    // Foreign tokens behind the last value are met again by the main loop, which skips them.
    return { values, end };
  };

  const readOption = (token: string) => {
    const start = index;
    const level = words.length;
    const equals = token.indexOf("=");
    const longName = equals === -1 ? token : token.slice(0, equals);
    const long = longName.length > 2 ? findOption(command, longName) : undefined;
    if (long !== undefined) {
      const { option, negated } = long;
      const attached = equals === -1 ? undefined : token.slice(equals + 1);
      if (option.arity === "flag") {
        if (attached === undefined) {
          options.push({ option, name: token, negated, start, end: start + 1, values: [], attachedTo: null, level });
        }
        return add(attached === undefined ? "option" : "unknown", start, start + 1);
      }
      const { values, end } = readValues(option, start + 1, attached);
      const attachedTo = attached === undefined ? null : token.slice(0, equals + 1);
      options.push({ option, name: longName, negated, start, end, values, attachedTo, level });
      return add("option", start, end);
    }
    if (token.startsWith("--")) return add("unknown", start, start + 1);
    readShort(token, start, level);
  };

  /** `-x`, `-xd`, `-tdev`, `-xt dev`. */
  const readShort = (token: string, start: number, level: number) => {
    const found: OptionOccurrence[] = [];
    let end = start + 1;
    for (let at = 1; at < token.length; at += 1) {
      const name = `-${token[at] ?? ""}`;
      const short = findOption(command, name);
      if (short === undefined) return add("unknown", start, start + 1);
      const { option, negated } = short;
      if (option.arity === "flag") {
        found.push({ option, name, negated, start, end: start + 1, values: [], attachedTo: null, level });
        continue;
      }
      const attached = at + 1 < token.length ? token.slice(at + 1) : undefined;
      const read = readValues(option, start + 1, attached);
      const attachedTo = attached === undefined ? null : token.slice(0, at + 1);
      end = read.end;
      found.push({ option, name, negated, start, end, values: read.values, attachedTo, level });
      break;
    }
    options.push(...found);
    add("option", start, end);
  };

  while (index < argv.length) {
    const token = argv[index] ?? "";
    const expectsWord = command?.group === true;
    if (!optionsEnded && token === "--") {
      optionsEnded = true;
      separatorSeen = true;
      add("separator", index, index + 1);
    } else if (!optionsEnded && token.length > 1 && token.startsWith("-")) {
      const foreign = skipForeign(index);
      if (foreign > 0) index += foreign;
      else readOption(token);
    } else if (expectsWord) {
      // Each command reads the rest by itself, so a separator in front of its name has no say behind it.
      words.push(token);
      command = findCommand(words);
      optionsEnded = false;
      add("command", index, index + 1);
    } else {
      positionals.push({ index, value: token });
      add("positional", index, index + 1);
    }
  }

  return { argv, verb: command?.verb ?? words.join(" "), words, command, options, positionals, parts };
}

/** Reads what was typed after `dbt`. */
export function parseDbtArgv(argv: readonly string[]): DbtArgv {
  return scanDbtArgv(argv, () => 0);
}

/** Every use of the option that has this name, in order; `--no-` forms included. */
export function occurrencesOf(parsed: DbtArgv, name: string): OptionOccurrence[] {
  return parsed.options.filter(({ option }) => option.names.includes(name) || option.negatives.includes(name));
}

/** The value that counts: the last one. Undefined where the option is absent or has none. */
export function lastValue(parsed: DbtArgv, name: string): string | undefined {
  return occurrencesOf(parsed, name).at(-1)?.values.at(-1);
}

/** All values of a swallowing option; like dbt, splits the first of each use at blanks. */
export function allValues(parsed: DbtArgv, name: string): string[] {
  return occurrencesOf(parsed, name).flatMap(({ option, values: [first, ...rest] }) => {
    if (first === undefined) return [];
    return option.arity === "multi" ? [...first.split(" "), ...rest] : [first, ...rest];
  });
}

/** True or false as the last use says; undefined where the flag is absent. */
export function flagState(parsed: DbtArgv, name: string): boolean | undefined {
  const last = occurrencesOf(parsed, name).at(-1);
  return last === undefined ? undefined : !last.negated;
}

export function hasFlag(parsed: DbtArgv, name: string): boolean {
  return flagState(parsed, name) === true;
}

/** A use of a path-valued option, with its one value. */
export type PathOccurrence = OptionOccurrence & {
  readonly path: NonNullable<DbtOption["path"]>;
  readonly value: string;
};

/** The paths that argv names; an option without its value is left out. */
export function pathOccurrences(parsed: DbtArgv): PathOccurrence[] {
  return parsed.options.flatMap((occurrence) => {
    const { path } = occurrence.option;
    const [value] = occurrence.values;
    return path === null || value === undefined ? [] : [{ ...occurrence, path, value }];
  });
}

/**
 * A new argv with other path values: undefined leaves one as it is, null drops the option with its value. The form
 * (`--opt=value` or `--opt value`) stays.
 */
export function rewritePaths(
  parsed: DbtArgv,
  rewrite: (occurrence: PathOccurrence) => string | undefined | null,
): string[] {
  const replaced = new Map<number, readonly string[]>();
  for (const occurrence of pathOccurrences(parsed)) {
    const value = rewrite(occurrence);
    if (value === undefined) continue;
    const { start, attachedTo, name } = occurrence;
    const token = parsed.argv[start] ?? "";
    const isShort = !name.startsWith("--");
    const head = attachedTo ?? token;
    if (value === null) {
      // Flags in front of a short option in the same token stay.
      const flags = isShort ? head.slice(0, -1) : "-";
      replaced.set(start, flags === "-" ? [] : [flags]);
      if (attachedTo === null) replaced.set(start + 1, []);
    } else if (attachedTo === null) replaced.set(start + 1, [value]);
    else if (isShort && value === "") replaced.set(start, [head, value]);
    else replaced.set(start, [`${head}${value}`]);
  }
  return parsed.argv.flatMap((token, index) => replaced.get(index) ?? [token]);
}
