/** As much of Jinja as the names in dbt_project.yml and profiles.yml need. Pure. */
import type { Environment } from "./dbt-environment.ts";

const EXPRESSION = /\s*\{\{-([\s\S]*?)-\}\}\s*|\s*\{\{-([\s\S]*?)\}\}|\{\{([\s\S]*?)-\}\}\s*|\{\{([\s\S]*?)\}\}/g;
const STRING = String.raw`"([^"\\]*)"|'([^'\\]*)'`;
const CALL = new RegExp(
  String.raw`^\s*env_var\s*\(\s*(?:${STRING})\s*(?:,\s*(?:default\s*=\s*)?(?:${STRING})\s*)?,?\s*\)\s*((?:\|\s*\w+\s*)*)$`,
);

/** The filters change the type of a value, never a plain word; a text that they might change is not rendered. */
function applyFilter(text: string, filter: string): string | undefined {
  switch (filter) {
    case "as_text":
      return text;
    case "as_native":
      if (["True", "False", "None"].includes(text)) return undefined;
      return /^(?:[A-Za-z_][\w.-]*|[1-9]\d*)$/.test(text) ? text : undefined;
    case "as_number":
      return /^[1-9]\d*$/.test(text) ? text : undefined;
    case "as_bool":
      return text === "True" || text === "False" ? text : undefined;
    default:
      return undefined;
  }
}

function renderCall(expression: string, env: Environment): string | undefined {
  const match = CALL.exec(expression);
  if (match === null) return undefined;
  const [, double, single, defaultDouble, defaultSingle, filters = ""] = match;
  let text = env[double ?? single ?? ""] ?? defaultDouble ?? defaultSingle;
  for (const filter of filters.split("|").slice(1)) {
    if (text === undefined) return undefined;
    text = applyFilter(text, filter.trim());
  }
  return text;
}

/**
 * Renders plain text and `{{ env_var('X', 'default') }}` with dbt's `as_…` filters. Undefined where the result is not
 * certain: another expression, a variable that is not set, a block or a comment.
 */
export function renderEnvVar(text: string, env: Environment): string | undefined {
  if (!/\{\{|\{%|\{#/.test(text)) return text;
  let certain = true;
  const rendered = text.replace(EXPRESSION, (_whole, ...groups: (string | undefined)[]) => {
    const expression = groups.slice(0, 4).find((group) => group !== undefined) ?? "";
    const value = renderCall(expression, env);
    if (value === undefined) certain = false;
    return value ?? "";
  });
  return certain && !/\{%|\{#|\{\{/.test(text.replace(EXPRESSION, "")) ? rendered : undefined;
}
