/** From argv to what is to be done. Pure. */
import { CLI_VERBS, type CliOptionName, type CliVerb, optionsOf } from "../config/cli-options.ts";
import { type FlagTexts, splitFlags } from "../config/options.ts";
import { type DbtArgv, hasFlag, parseDbtArgv } from "../core/dbt-argv.ts";
import { AppError } from "../core/errors.ts";
import { type OwnArgument, type OwnOption, splitArgv } from "../core/split-argv.ts";

export type Parsed =
  | { readonly kind: "help"; readonly words: readonly string[] }
  | { readonly kind: "version"; readonly flags: FlagTexts }
  | {
      readonly kind: "own";
      readonly verb: CliVerb;
      readonly flags: FlagTexts;
      readonly positionals: readonly string[];
    }
  /** A command about this machine: the local dbt runs it. */
  | { readonly kind: "local"; readonly argv: readonly string[]; readonly verb: string }
  | { readonly kind: "dbt"; readonly flags: FlagTexts; readonly dbt: DbtArgv };

/** Commands that make sense only where the user sits. */
const LOCAL_VERBS = new Set(["init", "docs serve"]);

const isVerb = (word: string | undefined): word is CliVerb => CLI_VERBS.some((verb) => verb === word);

/** dbt-remote's own options among those of a dbt command. */
const OWN_OPTIONS: readonly OwnOption[] = optionsOf("dbt").flatMap(([name, { flag, kind }]) =>
  flag === undefined || name === "help" ? [] : [{ flag, takesValue: !kind.isSwitch }],
);

const nameOf = new Map(optionsOf("dbt").map(([name, { flag }]) => [flag as string | undefined, name]));

function flagTexts(own: readonly OwnArgument[]): FlagTexts {
  const flags: Partial<Record<CliOptionName, string[]>> = {};
  for (const { name, value } of own) {
    const option = nameOf.get(name);
    if (option === undefined) continue;
    flags[option] = [...(flags[option] ?? []), value === true ? "true" : value];
  }
  return flags as FlagTexts;
}

function parseOwn(verb: CliVerb, argv: readonly string[]): Parsed {
  const table = Object.fromEntries(optionsOf(verb));
  const { flags, rest } = splitFlags(table, argv);
  if (flags["help"] !== undefined) return { kind: "help", words: [verb] };
  const separator = rest.indexOf("--");
  const unknown = (separator === -1 ? rest : rest.slice(0, separator)).find((word) => /^-./.test(word));
  if (unknown !== undefined) {
    throw new AppError("bad_argument", `dbt-remote ${verb} has no option ${unknown}.`, {
      hint: `dbt-remote ${verb} --help lists its options.`,
    });
  }
  return { kind: "own", verb, flags, positionals: rest.filter((_, index) => index !== separator) };
}

/** Decides what was typed. Throws `bad_argument` where one of dbt-remote's own options is misused. */
export function parse(argv: readonly string[]): Parsed {
  const split = splitArgv(argv, OWN_OPTIONS);
  const dbt = parseDbtArgv(split.dbt);
  const [first] = dbt.words;
  if (isVerb(first)) {
    const at = dbt.parts.find(({ kind }) => kind === "command")?.start ?? 0;
    const own = split.own.map(({ name, value }) => (value === true ? name : `${name}=${value}`));
    if (split.error) throw split.error;
    return parseOwn(first, [...own, ...split.dbt.filter((_, index) => index !== at)]);
  }
  if (argv.length === 0 || hasFlag(dbt, "--help")) {
    const level = dbt.options.find(({ option }) => option.names.includes("--help"))?.level ?? 0;
    return { kind: "help", words: dbt.words.slice(0, level) };
  }
  if (split.error) throw split.error;
  if (hasFlag(dbt, "--version")) return { kind: "version", flags: flagTexts(split.own) };
  if (LOCAL_VERBS.has(dbt.verb)) return { kind: "local", argv: split.dbt, verb: dbt.verb };
  return { kind: "dbt", flags: flagTexts(split.own), dbt };
}
