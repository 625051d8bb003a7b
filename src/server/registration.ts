/** The local server's own file, by which this user's clients find it: `<port>.json` in one private folder per user. */
import { randomBytes } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../core/errors.ts";

export interface Registration {
  readonly url: string;
  readonly token: string;
  readonly pid: number;
  readonly version: string;
  readonly dataDir: string;
}

/** `<state home>/dbt-remote/servers`, where the state home is `$XDG_STATE_HOME` or `~/.local/state`. */
export function registrationFolder(stateHome: string): string {
  return join(stateHome, "dbt-remote", "servers");
}

/**
 * The token for a server on this port: a new one, or that of a server which had the same port and data folder and
 * was killed, so that its clients can go on.
 */
export function registrationToken(folder: string, port: number, dataDir: string): string {
  const former = read(join(folder, `${port}.json`));
  const isFormer = former !== undefined && former.dataDir === dataDir && !isAlive(former.pid);
  return isFormer && former.token.length >= 32 ? former.token : randomBytes(32).toString("hex");
}

/** Writes the file and removes those of servers that are gone. The answer removes it again. */
export function register(folder: string, port: number, registration: Registration): () => void {
  const path = join(folder, `${port}.json`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { uid } = lstatSync(folder);
    if (process.getuid !== undefined && uid !== process.getuid()) throw new Error("it belongs to another user");
    chmodSync(folder, 0o700);
    removeStale(folder);
    const draft = join(folder, `.${port}-${process.pid}`);
    rmSync(draft, { force: true });
    writeFileSync(draft, `${JSON.stringify(registration)}\n`, { mode: 0o600, flag: "wx" });
    renameSync(draft, path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AppError("data_folder", `The server cannot register itself in ${folder}: ${reason}`, {
      hint: "Make the folder writable for you alone, or set XDG_STATE_HOME to one that is",
      cause,
    });
  }
  return () => {
    // Another server may have the port by now.
    if (read(path)?.token === registration.token && read(path)?.pid === registration.pid) rmSync(path, { force: true });
  };
}

function removeStale(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!/^\d+\.json$/.test(name)) continue;
    const other = read(join(folder, name));
    if (other === undefined || !isAlive(other.pid)) rmSync(join(folder, name), { force: true });
  }
}

function read(path: string): Registration | undefined {
  try {
    const data: unknown = JSON.parse(readFileSync(path, "utf8"));
    return isRegistration(data) ? data : undefined;
  } catch {
    return undefined;
  }
}

function isRegistration(data: unknown): data is Registration {
  if (typeof data !== "object" || data === null) return false;
  const { url, token, pid, dataDir } = data as Record<string, unknown>;
  return typeof url === "string" && typeof token === "string" && Number.isInteger(pid) && typeof dataDir === "string";
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return pid !== process.pid;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
