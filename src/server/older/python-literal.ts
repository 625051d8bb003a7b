/** Values as Python prints them, such as `{'log_level': 'info', 'defer': False}`. Reads them, runs nothing. */
import { AppError } from "../../core/errors.ts";

const MAX_DEPTH = 20;

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  "\n": "",
};

/**
 * Dicts become objects, lists and tuples arrays; `Name(x, key=y)` becomes an object of its keywords, or its first argument
 * where it has none. Throws `bad_request`.
 */
export function parsePythonLiteral(text: string): unknown {
  let at = 0;

  const wrong = (): AppError =>
    new AppError("bad_request", `${JSON.stringify(text.slice(0, 100))} is no value as Python prints it (at ${at}).`);
  const skipBlanks = (): void => {
    while (/\s/.test(text[at] ?? "")) at += 1;
  };
  const takes = (token: string): boolean => {
    skipBlanks();
    if (!text.startsWith(token, at)) return false;
    at += token.length;
    return true;
  };
  const expect = (token: string): void => {
    if (!takes(token)) throw wrong();
  };
  const match = (pattern: RegExp): string | undefined => {
    skipBlanks();
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };

  /** Items up to the closing token; a comma may stand behind the last. */
  function items<T>(close: string, item: () => T): T[] {
    const found: T[] = [];
    while (!takes(close)) {
      found.push(item());
      if (takes(",")) continue;
      expect(close);
      break;
    }
    return found;
  }

  function string(quote: string): string {
    let value = "";
    for (;;) {
      const character = text[at];
      if (character === undefined) throw wrong();
      at += 1;
      if (character === quote) return value;
      value += character === "\\" ? escaped() : character;
    }
  }

  function escaped(): string {
    const [letter = ""] = text.slice(at);
    at += 1;
    const digits = { x: 2, u: 4, U: 8 }[letter];
    if (digits === undefined) return ESCAPES[letter] ?? (/[\\'"]/.test(letter) ? letter : `\\${letter}`);
    const hex = text.slice(at, at + digits);
    const code = Number.parseInt(hex, 16);
    if (hex.length < digits || !/^[0-9a-fA-F]+$/.test(hex) || code > 0x10ffff) throw wrong();
    at += digits;
    return String.fromCodePoint(code);
  }

  function named(name: string, depth: number): unknown {
    if (name === "True") return true;
    if (name === "False") return false;
    if (name === "None") return null;
    expect("(");
    const keywords: [string, unknown][] = [];
    const positional: unknown[] = [];
    items(")", () => {
      const keyword = match(/[A-Za-z_]\w*(?=\s*=)/y);
      if (keyword === undefined) positional.push(value(depth));
      else {
        expect("=");
        keywords.push([keyword, value(depth)]);
      }
    });
    return keywords.length === 0 && positional.length > 0 ? positional[0] : Object.fromEntries(keywords);
  }

  function value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw wrong();
    if (takes("{")) {
      return Object.fromEntries(
        items("}", () => {
          const key = value(depth + 1);
          expect(":");
          return [String(key), value(depth + 1)] as const;
        }),
      );
    }
    if (takes("[")) return items("]", () => value(depth + 1));
    if (takes("(")) return items(")", () => value(depth + 1));
    if (takes("'")) return string("'");
    if (takes('"')) return string('"');
    const number = match(/-?\d+(\.\d+)?([eE][+-]?\d+)?/y);
    if (number !== undefined) return Number(number);
    const name = match(/[A-Za-z_][\w.]*/y);
    if (name === undefined) throw wrong();
    return named(name, depth + 1);
  }

  const result = value(0);
  skipBlanks();
  if (at < text.length) throw wrong();
  return result;
}
