/** Who this client is: a random id, and a name for people. */
import { randomUUID } from "node:crypto";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import type { Env } from "./context.ts";
import { configFolder } from "./folders.ts";
import { readIfThere, writePrivately } from "./private-files.ts";

/** The random id of this user on this machine; made on first use. */
export async function clientId(env: Env): Promise<string> {
  const path = join(configFolder(env), "client-id");
  const known = (await readIfThere(path).catch(() => undefined))?.trim();
  if (known !== undefined && /^[0-9a-f-]{36}$/.test(known)) return known;
  const fresh = randomUUID();
  await writePrivately(path, `${fresh}\n`);
  return fresh;
}

/** Such as `ada@laptop`. */
export function userLabel(env: Env): string {
  let name = env["USER"] || env["LOGNAME"] || env["USERNAME"];
  try {
    name ??= userInfo().username;
  } catch {
    // a user id without a name, as in some containers
  }
  return `${name ?? "unknown"}@${hostname()}`.replace(/[^\x21-\x7e]/g, "?");
}
