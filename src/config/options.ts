/** The machinery behind each program's one option table: flag > environment > file > default, parsed once. Pure. */
import { AppError } from "../core/errors.ts";
import type { OptionKind } from "./option-kinds.ts";

/** One row of an option table. */
export interface OptionSpec<T> {
  readonly kind: OptionKind<T>;
  /** Long form, such as `--server-url`; absent where the option has no flag. */
  readonly flag?: `--${string}`;
  /** Other forms of the flag, such as `-h`. */
  readonly aliases?: readonly string[];
  /** Environment variable; an empty one counts as unset. */
  readonly env?: string;
  /** Key in the configuration file. */
  readonly key?: string;
  /** Absent: the option is undefined where nobody sets it. */
  readonly default?: T;
  /** What the default is, in words, where the value doesn't say it or is found at run time. */
  readonly defaultText?: string;
  /** Its value is never shown, not in errors either. */
  readonly isSecret?: boolean;
  readonly help: string;
}

/** The options of one program, by name. */
export type OptionTable = Readonly<Record<string, OptionSpec<unknown>>>;

type ValueOf<S> = S extends OptionSpec<infer T> ? (S extends { readonly default: unknown } ? T : T | undefined) : never;

/** Values of a table's options by name. */
export type OptionValues<Table extends OptionTable> = { readonly [Name in keyof Table]: ValueOf<Table[Name]> };

export type OptionSource = "flag" | "environment" | "file" | "default";

/** Texts that were given by flag, by the option's name. */
export type FlagTexts = Readonly<Record<string, readonly string[]>>;

export interface OptionInput {
  readonly flags?: FlagTexts;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The parsed configuration file, and its name for errors. */
  readonly file?: { readonly name: string; readonly values: Readonly<Record<string, unknown>> };
}

export interface ParsedOptions<Table extends OptionTable> {
  readonly values: OptionValues<Table>;
  readonly sources: { readonly [Name in keyof Table]: OptionSource };
}

/** One option, with its value's type taken from its kind and default. */
export function option<T, const S extends Omit<OptionSpec<T>, "kind">>(kind: OptionKind<T>, spec: S) {
  return { kind, ...spec };
}

/** The row that an argument such as `--port=1` or `-h` names. */
export function findFlag(table: OptionTable, argument: string): [name: string, spec: OptionSpec<unknown>] | undefined {
  const word = argument.startsWith("--") ? argument.replace(/=.*$/s, "") : argument;
  return Object.entries(table).find(([, spec]) => spec.flag === word || spec.aliases?.includes(word) === true);
}

/** Reads the flag at `argv[index]`: its text, and how many arguments it took. */
export function readFlag(
  spec: OptionSpec<unknown>,
  argv: readonly string[],
  index: number,
): { readonly text: string; readonly taken: 1 | 2 } {
  const argument = argv[index] ?? "";
  const equals = argument.startsWith("--") ? argument.indexOf("=") : -1;
  if (equals !== -1) return { text: argument.slice(equals + 1), taken: 1 };
  if (spec.kind.isSwitch) return { text: "true", taken: 1 };
  const text = argv[index + 1];
  if (text === undefined) {
    throw new AppError("bad_argument", `${argument} needs a value: ${spec.kind.wanted}.`, {
      hint: `For example: ${argument} ${spec.kind.example}`,
    });
  }
  return { text, taken: 2 };
}

/** Takes a table's flags out of argv, wherever they stand up to a `--`. What is not in the table comes back in `rest`. */
export function splitFlags(
  table: OptionTable,
  argv: readonly string[],
): { readonly flags: Record<string, string[]>; readonly rest: string[] } {
  const flags: Record<string, string[]> = {};
  const rest: string[] = [];
  for (let index = 0; index < argv.length; ) {
    const argument = argv[index] ?? "";
    if (argument === "--") return { flags, rest: [...rest, ...argv.slice(index)] };
    const found = argument.startsWith("-") ? findFlag(table, argument) : undefined;
    if (found === undefined) {
      rest.push(argument);
      index += 1;
      continue;
    }
    const [name, spec] = found;
    const { text, taken } = readFlag(spec, argv, index);
    flags[name] = [...(flags[name] ?? []), text];
    index += taken;
  }
  return { flags, rest };
}

/** Every option's value and where it came from. Throws `bad_argument` that names value, source and next step. */
export function parseOptions<Table extends OptionTable>(table: Table, input: OptionInput): ParsedOptions<Table> {
  const values: Record<string, unknown> = {};
  const sources: Record<string, OptionSource> = {};
  for (const [name, spec] of Object.entries(table)) {
    const given = givenTexts(name, spec, input);
    sources[name] = given?.source ?? "default";
    values[name] = given === undefined ? spec.default : parseTexts(spec, given);
  }
  // The one place where names and types of the table meet again.
  return { values, sources } as unknown as ParsedOptions<Table>;
}

interface Given {
  readonly texts: readonly string[];
  readonly source: OptionSource;
  /** What the value was given by, such as `--port` or `PORT`. */
  readonly place: string;
}

function givenTexts(name: string, spec: OptionSpec<unknown>, input: OptionInput): Given | undefined {
  const flagTexts = input.flags?.[name];
  if (flagTexts !== undefined && flagTexts.length > 0) {
    return { texts: flagTexts, source: "flag", place: spec.flag ?? name };
  }
  const envText = spec.env === undefined ? undefined : input.env?.[spec.env];
  if (spec.env !== undefined && envText !== undefined && envText !== "") {
    return { texts: [envText], source: "environment", place: spec.env };
  }
  const { file } = input;
  const fileValue = spec.key === undefined ? undefined : file?.values[spec.key];
  if (file === undefined || fileValue === undefined || fileValue === null) return undefined;
  const place = `${spec.key} in ${file.name}`;
  return { texts: fileTexts(spec, fileValue, place), source: "file", place };
}

function fileTexts(spec: OptionSpec<unknown>, value: unknown, place: string): string[] {
  const items = Array.isArray(value) && spec.kind.isList ? value : [value];
  return items.map((item: unknown) => {
    if (typeof item === "string" || typeof item === "number" || typeof item === "boolean") return String(item);
    throw badValue(spec, JSON.stringify(item), place);
  });
}

function parseTexts(spec: OptionSpec<unknown>, given: Given): unknown {
  try {
    return spec.kind.parse(given.texts);
  } catch {
    throw badValue(spec, given.texts.join(", "), given.place);
  }
}

function badValue(spec: OptionSpec<unknown>, value: string, place: string): AppError {
  const shown = spec.isSecret === true ? "The value" : `"${value}"`;
  const example = place.startsWith("--") ? `${place} ${spec.kind.example}` : `${place}=${spec.kind.example}`;
  return new AppError("bad_argument", `${shown} of ${place} is not ${spec.kind.wanted}.`, {
    hint: place.includes(" in ") ? `Correct ${place}, for example to ${spec.kind.example}` : `For example: ${example}`,
  });
}
