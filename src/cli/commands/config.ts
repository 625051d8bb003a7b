/** `dbt-remote config`: what is set, by what, and changing it. */
import { CLI_OPTIONS, type CliOptionName, type CliOptionSpec } from "../../config/cli-options.ts";
import { formatDuration } from "../../config/option-kinds.ts";
import { parseOptions } from "../../config/options.ts";
import { AppError } from "../../core/errors.ts";
import { CONFIG_KEYS, projectConfigPath, userConfigPath } from "../config-files.ts";
import { type OwnCommand, type Session, startSession } from "../own-verb.ts";
import { readIfThere, writePrivately } from "../private-files.ts";
import type { Settings } from "../settings.ts";
import { table } from "../table.ts";
import { untrusted } from "../trust.ts";

interface Shown {
  readonly key: string;
  readonly value: unknown;
  readonly isDuration: boolean;
  readonly source: string;
}

function sourceOf(settings: Settings, name: CliOptionName, spec: CliOptionSpec): string {
  switch (settings.origins[name]) {
    case "project":
      return settings.projectFile.path;
    case "user":
      return settings.userFile.path;
    case "environment":
      return spec.env ?? "environment";
    case "flag":
      return spec.flag ?? "flag";
    case "default":
      return "default";
  }
}

function rows(settings: Settings): Shown[] {
  return (Object.entries(CLI_OPTIONS) as [CliOptionName, CliOptionSpec][]).flatMap(([name, spec]) => {
    if (spec.key === undefined && spec.isSecret !== true) return [];
    const value = settings.values[name];
    const key = spec.key ?? (spec.flag ?? name).replace(/^--/, "").replaceAll("-", "_");
    const shown = spec.isSecret && value !== undefined ? "*****" : value;
    return [{ key, value: shown, isDuration: isDuration(spec), source: sourceOf(settings, name, spec) }];
  });
}

const isDuration = ({ kind }: CliOptionSpec) => kind.placeholder === "DURATION";

function said(value: unknown, asDuration: boolean): string {
  if (value === undefined) return "";
  if (asDuration && typeof value === "number") return value === 0 ? "off" : formatDuration(value);
  return Array.isArray(value) ? value.join(", ") : String(value);
}

async function show(command: OwnCommand, { settings, output }: Session): Promise<void> {
  const shown = rows(settings);
  if (settings.values.json) {
    const values = shown.map(({ key, value, source }) => ({ key, value: value ?? null, source }));
    await output.out.write(`${JSON.stringify(values, null, 2)}\n`);
    return;
  }
  const open = new Set((await untrusted(command.context.env, settings)).map(({ key }) => key));
  const cells = shown.map(({ key, value, isDuration: asDuration, source }) => [
    key,
    said(value, asDuration),
    open.has(key) ? `${source} (not trusted yet)` : source,
  ]);
  await output.out.write(table(["KEY", "VALUE", "FROM"], cells));
}

function wantedKey(key: string | undefined): [CliOptionName, CliOptionSpec] {
  const found = (Object.entries(CLI_OPTIONS) as [CliOptionName, CliOptionSpec][]).find(([, spec]) => spec.key === key);
  if (key !== undefined && found !== undefined) return found;
  throw new AppError("bad_argument", key === undefined ? "A key is needed." : `There is no key ${key}.`, {
    hint: `Keys: ${CONFIG_KEYS.join(", ")}.`,
  });
}

async function change(command: OwnCommand, settings: Settings, value: string | undefined): Promise<void> {
  const [name, spec] = wantedKey(command.positionals[1]);
  const key = spec.key ?? name;
  const { project } = settings.values;
  const file = project ? projectConfigPath(settings.projectDir) : userConfigPath(command.context.env);
  const { parseDocument } = await import("yaml");
  const document = parseDocument((await readIfThere(file)) ?? "");
  if (value === undefined) document.delete(key);
  else {
    const { values } = parseOptions({ [name]: spec }, { flags: { [name]: [value] } });
    const parsed: unknown = values[name];
    // A length of time stays as it was typed; a list and a switch are written as what they are.
    document.set(key, Array.isArray(parsed) || typeof parsed === "boolean" ? parsed : value);
  }
  const text = document.toString();
  if (project) {
    const { writeFile } = await import("node:fs/promises");
    await writeFile(file, text);
  } else await writePrivately(file, text);
}

export async function config(command: OwnCommand): Promise<number> {
  const [action = "show", key, value, extra] = command.positionals;
  const wanted = { show: 0, get: 1, set: 2, delete: 1 }[action];
  const given = [key, value, extra].filter((each) => each !== undefined).length;
  if (wanted === undefined || given !== wanted) {
    throw new AppError("bad_argument", "dbt-remote config takes show, get KEY, set KEY VALUE or delete KEY.", {
      hint: "dbt-remote config set server_url http://127.0.0.1:8001",
    });
  }
  const session = await startSession(command);
  const { settings, output } = session;
  if (action === "show") await show(command, session);
  else if (action === "get") {
    const [name, spec] = wantedKey(key);
    const current = settings.values[name];
    const text = settings.values.json ? JSON.stringify(current ?? null) : said(current, isDuration(spec));
    await output.out.write(`${text}\n`);
  } else await change(command, settings, action === "set" ? value : undefined);
  await output.flush();
  return 0;
}
