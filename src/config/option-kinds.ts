/** The kinds of values an option can have: how each is parsed, and what its error says is wanted. */

/** One kind of value. `parse` throws a plain Error whose message is never shown: `wanted` is. */
export interface OptionKind<T> {
  /** What a valid value is, after "is not", such as `a port (0 to 65535)`. */
  readonly wanted: string;
  /** A valid value, for hints and the docs. */
  readonly example: string;
  /** Stands for the value in `--help`, such as `PORT`; empty for a flag that takes none. */
  readonly placeholder: string;
  /** A flag without value, such as `--json`; `--json=false` is allowed. */
  readonly isSwitch: boolean;
  /** The flag may be repeated; elsewhere values are separated by commas. */
  readonly isList: boolean;
  parse(texts: readonly string[]): T;
}

const refuse = (): never => {
  throw new Error("not of this kind");
};

function single<T>(kind: Pick<OptionKind<T>, "wanted" | "example" | "placeholder">, read: (text: string) => T) {
  return {
    ...kind,
    isSwitch: false,
    isList: false,
    parse: (texts: readonly string[]): T => read(texts.at(-1) ?? refuse()),
  } satisfies OptionKind<T>;
}

/** Any text but the empty one. */
export function text(placeholder = "TEXT", example = "text"): OptionKind<string> {
  return single({ wanted: "a text", example, placeholder }, (value) => (value === "" ? refuse() : value));
}

/** One of a few words. */
export function oneOf<const T extends string>(values: readonly [T, ...T[]], placeholder: string): OptionKind<T> {
  const kind = { wanted: `one of ${values.join(", ")}`, example: values[0], placeholder };
  return single<T>(kind, (value) => values.find((known) => known === value) ?? refuse());
}

/** A whole number within bounds. */
export function integer(bounds: { readonly min: number; readonly max: number }, placeholder = "N"): OptionKind<number> {
  const kind = {
    wanted: `a whole number from ${bounds.min} to ${bounds.max}`,
    example: String(Math.max(bounds.min, 1)),
    placeholder,
  };
  return single(kind, (value) => {
    const number = /^-?\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    return number >= bounds.min && number <= bounds.max ? number : refuse();
  });
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A length of time such as `60s`, `10m`, `1h30m` or `2d`, in ms; a bare number is seconds. Undefined where it is none. */
export function parseDurationMs(value: string): number | undefined {
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  if (!/^(\d{1,9}(\.\d{1,3})?(ms|s|m|h|d))+$/.test(value)) return undefined;
  let total = 0;
  for (const [, amount, unit] of value.matchAll(/([\d.]+)(ms|s|m|h|d)/g))
    total += Number(amount) * (UNIT_MS[unit ?? ""] ?? 0);
  return Math.round(total);
}

/** A length of time as people write it: the inverse of `parseDurationMs`. */
export function formatDuration(ms: number): string {
  const [unit, size] = Object.entries(UNIT_MS).findLast(([, each]) => ms >= each && ms % each === 0) ?? ["ms", 1];
  return `${ms / size}${unit}`;
}

/** A length of time, in ms. */
export function durationMs(bounds: { readonly minMs?: number } = {}): OptionKind<number> {
  const kind = { wanted: "a length of time such as 60s, 10m or 2h", example: "10m", placeholder: "DURATION" };
  return single(kind, (value) => {
    const ms = parseDurationMs(value);
    return ms === undefined || ms < (bounds.minMs ?? 1) ? refuse() : ms;
  });
}

/** An absolute http or https URL; a slash at its end is dropped. */
export function url(): OptionKind<string> {
  const kind = { wanted: "an http:// or https:// URL", example: "http://127.0.0.1:8001", placeholder: "URL" };
  return single(kind, (value) => {
    const parsed = new URL(value);
    if (parsed.protocol !== "http:" && parsed.protocol !== "https:") return refuse();
    return value.replace(/\/+$/, "");
  });
}

const TRUE = new Set(["true", "1", "yes", "on"]);
const FALSE = new Set(["false", "0", "no", "off"]);

/** On or off: a flag without value. */
export function flag(): OptionKind<boolean> {
  return {
    wanted: "true or false",
    example: "true",
    placeholder: "",
    isSwitch: true,
    isList: false,
    parse: (texts) => {
      const value = (texts.at(-1) ?? "").toLowerCase();
      return TRUE.has(value) ? true : FALSE.has(value) ? false : refuse();
    },
  };
}

/** Several texts: a repeated flag, a list in the file, or separated by commas. */
export function list(
  placeholder = "NAME",
  pattern?: RegExp,
  wanted = "a list of names",
): OptionKind<readonly string[]> {
  return {
    wanted,
    example: "NAME,OTHER_NAME",
    placeholder,
    isSwitch: false,
    isList: true,
    parse: (texts) => {
      const items = texts.flatMap((each) => each.split(",")).map((each) => each.trim());
      const kept = items.filter((each) => each !== "");
      return pattern !== undefined && kept.some((each) => !pattern.test(each)) ? refuse() : [...new Set(kept)];
    },
  };
}
