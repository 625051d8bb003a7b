/** The files by which this user's local servers make themselves known. */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import type { Client } from "../api/client.ts";
import { AppError } from "../core/errors.ts";
import type { Env } from "./context.ts";
import { serversFolder } from "./folders.ts";
import { isLoopbackUrl } from "./loopback.ts";

export interface LocalServer {
  readonly url: string;
  readonly token: string;
  readonly port: number;
}

/** A file that others could have written or read is no registration. */
async function isPrivate(file: string): Promise<boolean> {
  const uid = process.getuid?.();
  if (uid === undefined) return true; // Windows: the folder lies in the user's own profile
  const { uid: owner, mode } = await stat(file);
  return owner === uid && (mode & 0o077) === 0;
}

async function readRegistration(file: string, port: number): Promise<LocalServer | undefined> {
  try {
    if (!(await isPrivate(file))) return undefined;
    const { url, token } = JSON.parse(await readFile(file, "utf8")) as { url?: unknown; token?: unknown };
    if (typeof url !== "string" || typeof token !== "string" || !isLoopbackUrl(url)) return undefined;
    return Number(new URL(url).port) === port ? { url: url.replace(/\/+$/, ""), token, port } : undefined;
  } catch {
    return undefined; // being replaced, or gone
  }
}

/** All registered servers by port; some may be dead. */
export async function registeredServers(env: Env): Promise<LocalServer[]> {
  const folder = serversFolder(env);
  let names: string[];
  try {
    if (!(await isPrivate(folder))) return [];
    names = await readdir(folder);
  } catch {
    return [];
  }
  const ports = names.flatMap((name) => /^(\d{1,5})\.json$/.exec(name)?.[1] ?? []);
  const servers = await Promise.all(
    ports.map((port) => readRegistration(path.join(folder, `${port}.json`), Number(port))),
  );
  return servers.filter((server) => server !== undefined).sort((a, b) => a.port - b.port);
}

/**
 * Whether the one who answers knows the token of the registration: then it may have the token and a project. False
 * where nobody answers; throws `server_untrusted` where somebody else has taken the port.
 */
export async function provesItself(client: Client, server: LocalServer): Promise<boolean> {
  const nonce = randomBytes(32).toString("hex");
  let proof: string;
  try {
    proof = (await client.proof(nonce)).proof;
  } catch (error) {
    if (error instanceof AppError && error.code === "server_unreachable" && error.cause !== undefined) return false;
    throw untrusted(server, error);
  }
  const expected = createHmac("sha256", server.token).update(nonce).digest();
  const given = Buffer.from(typeof proof === "string" ? proof : "", "hex");
  if (given.length === expected.length && timingSafeEqual(given, expected)) return true;
  throw untrusted(server);
}

function untrusted({ url, port }: LocalServer, cause?: unknown): AppError {
  return new AppError("server_untrusted", `What answers at ${url} is not the dbt-server that registered there.`, {
    hint: `Start dbt-server on another port: dbt-server --port ${port + 1}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
