/** The user's own folders, by the XDG convention on every system. */
import { homedir } from "node:os";
import { join } from "node:path";
import type { Env } from "./context.ts";

function folder(env: Env, variable: string, ...fallback: string[]): string {
  const set = env[variable];
  // XDG says that a relative path is invalid and to be ignored.
  const base = set?.startsWith("/") || /^[A-Za-z]:[\\/]/.test(set ?? "") ? set : undefined;
  return join(base ?? join(homeFolder(env), ...fallback), "dbt-remote");
}

export function homeFolder(env: Env): string {
  return env["HOME"] || env["USERPROFILE"] || homedir();
}

/** Configuration, the client's id, and what the user has trusted. */
export function configFolder(env: Env): string {
  return folder(env, "XDG_CONFIG_HOME", ".config");
}

/** What can be deleted at any time: the stat cache, and where a run's files belong. */
export function cacheFolder(env: Env): string {
  return folder(env, "XDG_CACHE_HOME", ".cache");
}

/** Where local servers register. */
export function serversFolder(env: Env): string {
  return join(folder(env, "XDG_STATE_HOME", ".local", "state"), "servers");
}
