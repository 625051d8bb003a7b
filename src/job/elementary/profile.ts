/** The profile that `edr` works with: the run's own connection, in the schema where Elementary has its tables. Pure. */
import { resolve } from "node:path";
import { stringify } from "yaml";
import { warehouseFiles } from "../../core/dbt-connection.ts";
import type { Environment } from "../../core/dbt-environment.ts";
import { isMapping, type YamlMapping } from "../../core/dbt-profile.ts";

/** Where the models of the dbt package `elementary` are. */
export interface ElementaryPlace {
  readonly database: string | null;
  readonly schema: string;
}

/** From a parsed manifest.json; undefined where the project does not have the package, or has it switched off. */
export function elementaryPlace(manifest: unknown): ElementaryPlace | undefined {
  const nodes = isMapping(manifest) ? manifest["nodes"] : undefined;
  if (!isMapping(nodes)) return undefined;
  for (const node of Object.values(nodes)) {
    if (!isMapping(node) || node["package_name"] !== "elementary" || node["resource_type"] !== "model") continue;
    const { schema, database } = node;
    if (typeof schema === "string") return { schema, database: typeof database === "string" ? database : null };
  }
  return undefined;
}

export interface ElementaryProfileParams {
  /** Parsed profiles.yml. */
  readonly profiles: unknown;
  /** The connection in use, as written. */
  readonly output: YamlMapping;
  readonly place: ElementaryPlace;
  /** Absolute; what relative paths of the connection are relative to. */
  readonly project: string;
  readonly env: Environment;
}

/** Text of a profiles.yml. A profile that the user has made for `edr` is taken as it is, but for its relative paths. */
export function elementaryProfile({ profiles, output, place, project, env }: ElementaryProfileParams): string {
  const own = isMapping(profiles) ? profiles["elementary"] : undefined;
  const outputs = isMapping(own) ? own["outputs"] : undefined;
  if (isMapping(own) && isMapping(outputs) && Object.values(outputs).some(isConnection)) {
    const absolute = Object.entries(outputs).map(([name, each]) => [
      name,
      isMapping(each) ? withAbsoluteFiles(each, project, env) : each,
    ]);
    return stringify({ elementary: { ...own, outputs: Object.fromEntries(absolute) } });
  }
  const connection = { ...withAbsoluteFiles(output, project, env), ...placeOf(output, place) };
  return stringify({ elementary: { target: "default", outputs: { default: connection } } });
}

/** Of other targets than the one in use only the names are sent. */
function isConnection(output: unknown): boolean {
  return isMapping(output) && "type" in output;
}

function placeOf({ type, dataset }: YamlMapping, { schema, database }: ElementaryPlace): Record<string, string> {
  const at = dataset === undefined ? { schema } : { dataset: schema };
  if (database === null) return at;
  if (type === "bigquery") return { ...at, project: database };
  return type === "snowflake" ? { ...at, database } : at;
}

/** `edr` works in a folder of its own, where a relative path means nothing. */
function withAbsoluteFiles(output: YamlMapping, project: string, env: Environment): YamlMapping {
  const files = new Set(warehouseFiles(output, env));
  if (files.size === 0) return output;
  return mapTexts(output, (text) => {
    const [, scheme = "", path = ""] = /^((?:ducklake|sqlite|duckdb):)?(.*)$/s.exec(text) ?? [];
    if (files.has(path.trim())) return scheme + resolve(project, path.trim());
    return text;
  });
}

function mapTexts(mapping: YamlMapping, change: (text: string) => string): YamlMapping {
  const mapped = (value: unknown): unknown => {
    if (typeof value === "string") return change(value);
    if (Array.isArray(value)) return value.map(mapped);
    return isMapping(value) ? mapTexts(value, change) : value;
  };
  return Object.fromEntries(Object.entries(mapping).map(([key, value]) => [key, mapped(value)]));
}
