/** The project's dbt_remote.yml and the user's own config.yml. */
import path from "node:path";
import { CLI_OPTIONS } from "../config/cli-options.ts";
import { AppError } from "../core/errors.ts";
import type { Env } from "./context.ts";
import { configFolder } from "./folders.ts";
import { readIfThere } from "./private-files.ts";

export interface ConfigFile {
  readonly path: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Keys that a file may have. */
export const CONFIG_KEYS: readonly string[] = Object.values(CLI_OPTIONS).flatMap((spec) =>
  "key" in spec ? [spec.key] : [],
);

export function userConfigPath(env: Env): string {
  return path.join(configFolder(env), "config.yml");
}

export function projectConfigPath(projectDir: string): string {
  return path.join(projectDir, "dbt_remote.yml");
}

/** Reads a configuration file; one that is absent or empty has no values. */
export async function readConfigFile(file: string): Promise<ConfigFile> {
  const text = await readIfThere(file);
  if (text === undefined || text.trim() === "") return { path: file, values: {} };
  const { parse } = await import("yaml");
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 100 });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new AppError("bad_argument", `${file} is no YAML: ${reason}`, { hint: `Correct ${file}.`, cause });
  }
  if (value === null) return { path: file, values: {} };
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new AppError("bad_argument", `${file} holds no keys with values.`, {
      hint: "A line looks like this: server_url: http://127.0.0.1:8001",
    });
  }
  const values = { ...value } as Record<string, unknown>;
  const unknown = Object.keys(values).find((key) => !CONFIG_KEYS.includes(key));
  if (unknown !== undefined) {
    throw new AppError("bad_argument", `${file} has the key ${unknown}, which dbt-remote does not know.`, {
      hint: `Known keys: ${CONFIG_KEYS.join(", ")}.`,
    });
  }
  return { path: file, values };
}
