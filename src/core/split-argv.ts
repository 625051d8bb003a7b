/** Takes dbt-remote's own options out of what was typed; all else is dbt's. Pure. */
import { scanDbtArgv } from "./dbt-argv.ts";
import { AppError } from "./errors.ts";

export interface OwnOption {
  /** Long name, such as `--server-url`. */
  readonly flag: string;
  readonly takesValue: boolean;
}

export interface OwnArgument {
  /** The option's `flag`. */
  readonly name: string;
  /** True for an option that takes no value. */
  readonly value: string | true;
  /** Where its token stood in what was typed. */
  readonly index: number;
}

export interface SplitArgv {
  readonly own: readonly OwnArgument[];
  /** What dbt gets, in order and untouched. */
  readonly dbt: readonly string[];
  /** The first own option that was misused. */
  readonly error?: AppError;
}

interface Taken {
  readonly argument: OwnArgument | undefined;
  readonly count: number;
  readonly error: AppError | undefined;
}

function misuse(flag: string, message: string, hint: string): AppError {
  return new AppError("bad_argument", `Option ${flag} ${message}.`, { hint });
}

function takeOwn(argv: readonly string[], index: number, options: ReadonlyMap<string, OwnOption>): Taken | undefined {
  const token = argv[index] ?? "";
  const equals = token.indexOf("=");
  const flag = equals === -1 ? token : token.slice(0, equals);
  const option = options.get(flag);
  if (option === undefined) return undefined;
  const attached = equals === -1 ? undefined : token.slice(equals + 1);
  const taken = (value: string | true, count: number) => ({
    argument: { name: flag, value, index },
    count,
    error: undefined,
  });
  const refused = (error: AppError) => ({ argument: undefined, count: 1, error });
  if (!option.takesValue) {
    if (attached === undefined) return taken(true, 1);
    return refused(misuse(flag, `takes no value, but was given "${attached}"`, `Type ${flag} alone.`));
  }
  if (attached !== undefined) return taken(attached, 1);
  const next = argv[index + 1];
  // A value that looks like an option is taken for one: forgetting a value must not swallow what follows.
  if (next === undefined || (next.startsWith("-") && next.length > 1)) {
    return refused(misuse(flag, "needs a value", `Type ${flag}=VALUE.`));
  }
  return taken(next, 2);
}

/**
 * Own options may stand anywhere but behind `--` and where dbt would read the token as the value of an option.
 * A swallowing option goes on behind an own option, as it would had that not been there.
 */
export function splitArgv(argv: readonly string[], ownOptions: readonly OwnOption[]): SplitArgv {
  const options = new Map(ownOptions.map((option) => [option.flag, option]));
  const taken = new Map<number, Taken>();
  scanDbtArgv(argv, (index) => {
    const found = taken.get(index) ?? takeOwn(argv, index, options);
    if (found === undefined) return 0;
    taken.set(index, found);
    return found.count;
  });
  const isOwn = new Set<number>();
  for (const [index, { count }] of taken) {
    for (let at = index; at < index + count; at += 1) isOwn.add(at);
  }
  const inOrder = [...taken].sort(([a], [b]) => a - b).map(([, one]) => one);
  const error = inOrder.find((one) => one.error !== undefined)?.error;
  return {
    own: inOrder.flatMap(({ argument }) => argument ?? []),
    dbt: argv.filter((_, index) => !isOwn.has(index)),
    ...(error === undefined ? {} : { error }),
  };
}
