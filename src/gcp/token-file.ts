/** ID tokens that took long to get, kept until they end, in a file for the user alone. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { FreshToken } from "./credentials.ts";

export interface TokenFile {
  /** Undefined where there is none that is still good at `nowMs`. */
  get(key: string, nowMs: number): Promise<FreshToken | undefined>;
  /** Also forgets those that have ended. Never rejects: a token that can't be kept is asked for again. */
  set(key: string, token: FreshToken | undefined, nowMs: number): Promise<void>;
}

export function createTokenFile(path: string): TokenFile {
  const read = async (): Promise<Map<string, FreshToken>> => {
    try {
      const { mode, uid } = await stat(path);
      const isOwn = process.getuid === undefined || (uid === process.getuid() && (mode & 0o077) === 0);
      if (!isOwn) return new Map();
      const entries = Object.entries(JSON.parse(await readFile(path, "utf8")) as Record<string, Partial<FreshToken>>);
      return new Map(
        entries.flatMap(([key, { token, expiresAtMs }]) =>
          typeof token === "string" && typeof expiresAtMs === "number" ? [[key, { token, expiresAtMs }]] : [],
        ),
      );
    } catch {
      return new Map(); // absent, or not what was written
    }
  };

  return {
    async get(key, nowMs) {
      const found = (await read()).get(key);
      return found !== undefined && found.expiresAtMs > nowMs ? found : undefined;
    },
    async set(key, token, nowMs) {
      const all = await read();
      if (token === undefined) all.delete(key);
      else all.set(key, token);
      const good = [...all].filter(([, { expiresAtMs }]) => expiresAtMs > nowMs);
      const fresh = `${path}.${randomBytes(6).toString("hex")}`;
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        await writeFile(fresh, JSON.stringify(Object.fromEntries(good)), { mode: 0o600, flag: "wx" });
        await rename(fresh, path);
      } catch {
        await rm(fresh, { force: true }).catch(() => undefined);
      }
    },
  };
}
