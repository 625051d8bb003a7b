/** A project's file says where credentials go only after its user has agreed once. */
import { realpathSync } from "node:fs";
import path from "node:path";
import { CLI_OPTIONS, type CliOptionName, type CliOptionSpec } from "../config/cli-options.ts";
import { AppError } from "../core/errors.ts";
import { ask, canAsk } from "./ask.ts";
import type { CliContext, Env } from "./context.ts";
import { configFolder } from "./folders.ts";
import { isLoopbackUrl } from "./loopback.ts";
import { readJsonObject, writePrivately } from "./private-files.ts";
import type { Settings } from "./settings.ts";

interface Claim {
  readonly key: string;
  readonly value: string;
}

function realPath(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return path.resolve(folder);
  }
}

/** What the project's file says of where things go, and is in effect. A loopback server proves itself instead. */
export function claimsOf(settings: Settings): Claim[] {
  return (Object.entries(CLI_OPTIONS) as [CliOptionName, CliOptionSpec][]).flatMap(([name, spec]) => {
    const { needsTrust, key } = spec;
    if (needsTrust !== true || key === undefined || settings.origins[name] !== "project") return [];
    const value = settings.values[name];
    if (name === "serverUrl" && isLoopbackUrl(String(value))) return [];
    return [{ key, value: Array.isArray(value) ? value.join(",") : String(value) }];
  });
}

/** Where what a user agreed to is kept: by project folder, or by what the key says. */
export const trustPath = (env: Env) => path.join(configFolder(env), "trusted.json");

function isTrusted(known: Readonly<Record<string, unknown>>, project: string, { key, value }: Claim): boolean {
  const values = known[project];
  return typeof values === "object" && values !== null && (values as Record<string, unknown>)[key] === value;
}

/** The claims that nobody has agreed to yet. */
export async function untrusted(env: Env, settings: Settings): Promise<Claim[]> {
  const claims = claimsOf(settings);
  if (claims.length === 0) return [];
  const known = (await readJsonObject(trustPath(env))) ?? {};
  const project = realPath(settings.projectDir);
  return claims.filter((claim) => !isTrusted(known, project, claim));
}

async function remember(env: Env, settings: Settings, claims: readonly Claim[]): Promise<void> {
  const known = (await readJsonObject(trustPath(env))) ?? {};
  const project = realPath(settings.projectDir);
  const before = known[project];
  const values = { ...(typeof before === "object" ? before : {}) } as Record<string, unknown>;
  for (const { key, value } of claims) values[key] = value;
  await writePrivately(trustPath(env), `${JSON.stringify({ ...known, [project]: values }, null, 2)}\n`);
}

/** Resolves when everything is trusted: already, by the flag, or by an answer on the terminal. Else `server_untrusted`. */
export async function ensureTrusted(context: CliContext, settings: Settings): Promise<void> {
  const { env } = context;
  const claims = await untrusted(env, settings);
  if (claims.length === 0) return;
  const said = claims.map(({ key, value }) => `${key}: ${value}`).join(", ");
  if (!settings.values.trustProjectConfig) {
    if (!canAsk(context)) {
      throw new AppError(
        "server_untrusted",
        `${settings.projectFile.path} says ${said}, which you have not agreed to.`,
        {
          hint: "Add --trust-project-config if your project and credentials may go there.",
        },
      );
    }
    const question = `${settings.projectFile.path} says ${said}.\nMay this project and your credentials go there?`;
    if (!(await ask(context, question))) {
      throw new AppError("server_untrusted", "Not trusted: nothing was sent.", {
        hint: "Name a server yourself with --server-url or DBT_SERVER_URL.",
      });
    }
  }
  await remember(env, settings, claims);
}
