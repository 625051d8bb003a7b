/** Who this client is: a random id, and a name for people. */
import { randomUUID } from "node:crypto";
import { link, rm } from "node:fs/promises";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import type { Env } from "./context.ts";
import { configFolder } from "./folders.ts";
import { readIfThere, writePrivately } from "./private-files.ts";

/** The random id of this user on this machine; made on first use, and one for all who make it at the same time. */
export async function clientId(env: Env): Promise<string> {
  const path = join(configFolder(env), "client-id");
  const known = await readId(path);
  if (known !== undefined) return known;
  const fresh = randomUUID();
  const draft = `${path}.${fresh}`;
  await writePrivately(draft, `${fresh}\n`);
  try {
    await link(draft, path);
    return fresh;
  } catch {
    const winner = await readId(path);
    if (winner !== undefined) return winner;
    // what is there is no id
    await writePrivately(path, `${fresh}\n`);
    return fresh;
  } finally {
    await rm(draft, { force: true });
  }
}

async function readId(path: string): Promise<string | undefined> {
  const id = (await readIfThere(path).catch(() => undefined))?.trim();
  return id !== undefined && /^[0-9a-f-]{36}$/.test(id) ? id : undefined;
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
