/**
 * Parts of a YAML file, written anew without changing what a scalar means: plain scalars are kept as they were typed,
 * because `yes`, `0123` and `1e3` mean other things to other parsers. Anchors and merge keys are expanded.
 */
import { type Document, isAlias, isMap, isPair, isScalar, isSeq, type Node } from "yaml";

/** A plain scalar as typed. */
class Plain {
  readonly source: string;
  constructor(source: string) {
    this.source = source;
  }
}

/** A few bytes of aliases can stand for a terabyte. */
const MAX_NODES = 100_000;

/** A document as plain objects, lists and strings, whose plain scalars `writeVerbatim` writes as they were typed. */
export function verbatimTree(document: Document): unknown {
  let nodes = 0;
  const convert = (node: unknown): unknown => {
    nodes += 1;
    if (nodes > MAX_NODES) throw new Error("its anchors expand to too much");
    if (isAlias(node)) return convert(node.resolve(document));
    if (isScalar(node)) {
      const isText = node.tag === "tag:yaml.org,2002:str";
      const isPlain = !isText && (node.type === "PLAIN" || node.type === undefined) && !/\n/.test(node.source ?? "");
      return isPlain ? new Plain(node.source || "null") : textOf(isText ? (node.source ?? node.value) : node.value);
    }
    if (isSeq(node)) return node.items.map(convert);
    return isMap(node) ? mapping(node.items) : null;
  };
  const mapping = (items: readonly unknown[]): Record<string, unknown> => {
    const own: [string, unknown][] = [];
    const merged: [string, unknown][] = [];
    for (const item of items) {
      if (!isPair(item)) continue;
      const key = isScalar(item.key) ? (item.key.source ?? textOf(item.key.value)) : String(item.key);
      const value = convert(item.value);
      if (key !== "<<") own.push([key, value]);
      // The first of several merged mappings wins, so it comes last.
      else for (const one of [value].flat().reverse()) merged.push(...Object.entries(one ?? {}));
    }
    return Object.fromEntries([...merged, ...own]);
  };
  return convert(document.contents as Node | null);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : String(value ?? "");
}

const SIMPLE_KEY = /^[A-Za-z_][A-Za-z0-9_-]*$/;

/** As YAML. What is no plain scalar of the former file is written in double quotes, which mean a string to every parser. */
export function writeVerbatim(value: unknown, indent = ""): string {
  if (value instanceof Plain) return value.source;
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return value.map((item) => `\n${indent}- ${writeVerbatim(item, `${indent}  `)}`).join("");
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0) return "{}";
    return entries
      .map(([key, item]) => {
        const name = SIMPLE_KEY.test(key) ? key : JSON.stringify(key);
        return `\n${indent}${name}: ${writeVerbatim(item, `${indent}  `)}`;
      })
      .join("");
  }
  return JSON.stringify(value ?? null);
}

/** A copy with another text at a path of keys. */
export function withText(tree: unknown, keys: readonly string[], text: string): unknown {
  const [key, ...rest] = keys;
  if (key === undefined) return text;
  if (Array.isArray(tree))
    return tree.map((item, index) => (String(index) === key ? withText(item, rest, text) : item));
  if (typeof tree !== "object" || tree === null || tree instanceof Plain) return tree;
  const entries = Object.entries(tree);
  return Object.fromEntries(entries.map(([name, item]) => [name, name === key ? withText(item, rest, text) : item]));
}
