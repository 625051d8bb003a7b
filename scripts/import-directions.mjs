/**
 * Holds the layout: which folder of src/ may import which, where the environment may be read, and what the CLI may not
 * load. Imports are read from the text; types count, since whoever needs another's types knows the other.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { main, root, ScriptError, say } from "./process.mjs";

/**
 * What each folder may import beside itself.
 * @type {Readonly<Record<string, readonly string[]>>}
 */
const allowed = {
  core: [],
  config: ["core"],
  api: ["core"],
  snapshot: ["core"],
  gcp: ["core"],
  dbt: ["core"],
  state: ["core", "gcp"],
  executors: ["core", "gcp", "dbt"],
  job: ["core", "config", "api", "snapshot", "state", "dbt"],
  server: ["core", "config", "api", "snapshot", "state", "executors"],
  cli: ["core", "config", "api", "snapshot", "gcp", "dbt"],
};

/** What a program's main.ts, where things are wired together, may import beyond its folder's list. */
const allowedInMain = /** @type {Readonly<Record<string, readonly string[]>>} */ ({ job: ["gcp"], server: ["gcp"] });

/** Too slow to load, or absent on Node 20: nothing that the CLI loads at its start may need these. */
const forbiddenToCli = /^(?:fastify|@fastify\/.*|typebox|typebox\/.*|node:sqlite|@google-cloud\/.*|googleapis)$/;

/** Pure code works on values: these would let the world in. */
const forbiddenToCore = new Set(builtinModules.filter((name) => !["path", "path/posix", "util", "url"].includes(name)));

const importPattern =
  /^\s*(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/gm;
const environmentPattern =
  /\bprocess\.env\b|\bprocess\[["']env["']\]|\{[^}]*\benv\b[^}]*\}\s*(?:from\s+["']node:process["']|=\s*process\b)/;

/** @typedef {{ readonly specifier: string, readonly kind: "static" | "type" | "dynamic" }} Import */

/**
 * @param {string} text
 * @returns {Import[]}
 */
function importsOf(text) {
  return [...text.matchAll(importPattern)].map((match) => {
    const [, type, plain, dynamic] = match;
    if (dynamic !== undefined) return { specifier: dynamic, kind: "dynamic" };
    return { specifier: plain ?? "", kind: type === undefined ? "static" : "type" };
  });
}

/**
 * @param {string} text
 */
function withoutComments(text) {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

/**
 * Every breach of the layout in a source folder, as `file: what is wrong`.
 * @param {string} source
 * @returns {string[]}
 */
export function violations(source) {
  /** @type {string[]} */
  const found = [];
  /** @type {Map<string, Import[]>} */
  const graph = new Map();
  const files = readdirSync(source, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"))
    .sort();
  for (const file of files) {
    const path = join(source, file);
    const text = withoutComments(readFileSync(path, "utf8"));
    const imports = importsOf(text);
    graph.set(path, imports);
    const [folder = "", ...rest] = file.split(sep);
    const list = allowed[folder];
    if (list === undefined || rest.length === 0) {
      found.push(`${file}: lies in no folder of the layout`);
      continue;
    }
    const isMain = rest.length === 1 && rest[0] === "main.ts";
    const mayImport = new Set([folder, ...list, ...(isMain ? (allowedInMain[folder] ?? []) : [])]);
    for (const { specifier } of imports) {
      if (specifier.startsWith(".")) {
        const target = relative(source, resolve(dirname(path), specifier)).split(sep)[0] ?? "";
        if (target === "..") found.push(`${file}: imports ${specifier}, which is outside src/`);
        else if (!mayImport.has(target)) found.push(`${file}: ${folder} must not import ${target} (${specifier})`);
      } else if (
        folder === "core" &&
        (forbiddenToCore.has(specifier.replace(/^node:/, "")) || specifier === "node:sqlite")
      ) {
        found.push(`${file}: core is pure and must not import ${specifier}`);
      }
    }
    if (!isMain && environmentPattern.test(text)) {
      found.push(`${file}: reads process.env; only a program's main.ts may, and passes it on`);
    }
  }
  return [...found, ...cliLoads(source, graph)];
}

/**
 * What the CLI loads when it starts and must not: every static import that can be reached from its main.ts.
 * @param {string} source
 * @param {ReadonlyMap<string, readonly Import[]>} graph
 */
function cliLoads(source, graph) {
  /** @type {string[]} */
  const found = [];
  const start = join(source, "cli", "main.ts");
  const reached = new Set([start]);
  for (const path of reached) {
    for (const { specifier, kind } of graph.get(path) ?? []) {
      if (kind !== "static") continue;
      if (specifier.startsWith(".")) reached.add(resolve(dirname(path), specifier));
      else if (forbiddenToCli.test(specifier)) {
        found.push(`${relative(source, path)}: the CLI loads ${specifier} at its start; import it where it is used`);
      }
    }
  }
  return found;
}

main(import.meta.url, async () => {
  const source = join(root, "src");
  const found = existsSync(source) ? violations(source) : [];
  for (const line of found) console.error(`src/${line}`);
  if (found.length > 0)
    throw new ScriptError(`${found.length} breaches of the layout`, "docs/architecture.md shows who may import whom.");
  say("Import directions hold");
});
