/**
 * `.dbtignore` as dbt reads it: gitignore patterns tested against whole paths, and the last pattern that matches
 * wins. Git itself (and the `ignore` package) never re-includes a file whose folder is excluded; dbt does.
 */
import createIgnore from "ignore";

/** Whether dbt ignores the file with this path, relative to the project and `/`-separated. */
export type IsIgnored = (path: string) => boolean;

const OPTIONS = { ignorecase: false, allowRelativePaths: true };

function matcher(patterns: readonly string[]): IsIgnored {
  const rules = createIgnore(OPTIONS).add(patterns);
  return (path) => rules.ignores(path);
}

/** The patterns of a `.dbtignore`, blanks stripped and comments dropped as dbt does. */
function patternsOf(text: string): string[] {
  return (
    text
      .split(/\r\n|\r|\n/)
      .map((line) => (line.endsWith("\\ ") ? line.trimStart() : line.trim()))
      // To dbt `a/**/` is all of `a`; to the package it is only what lies two levels down.
      .map((line) => (line.length > 4 ? line.replace(/\/\*\*\/$/, "/**") : line))
      .filter((line) => line !== "" && line !== "/" && line !== "!" && !line.startsWith("#"))
  );
}

/** Compiles the text of a `.dbtignore`; undefined where it ignores nothing. */
export function compileDbtIgnore(text: string): IsIgnored | undefined {
  const patterns = patternsOf(text);
  if (patterns.every((pattern) => pattern.startsWith("!"))) return undefined;
  if (!patterns.some((pattern) => pattern.startsWith("!"))) return matcher(patterns);
  const rules = patterns
    .map((pattern) => {
      const negated = pattern.startsWith("!");
      return { ignores: !negated, matches: matcher([negated ? pattern.slice(1) : pattern]) };
    })
    .reverse();
  return (path) => rules.find((rule) => rule.matches(path))?.ignores ?? false;
}

/** Whether a path matches one of the glob patterns (anchored at their base; `**` crosses folders). */
export function compileGlob(pattern: string): (path: string) => boolean {
  return matcher([`/${pattern}`]);
}
