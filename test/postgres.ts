/**
 * A throwaway PostgreSQL. `npm test` starts one for all tests (global-setup.ts) and names it in `TEST_POSTGRES`; a test
 * file run by itself starts its own. Every caller gets a fresh database.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { postgresFolder } from "../scripts/postgres.mjs";
import { python } from "../scripts/process.mjs";
import { freePort } from "./free-port.ts";

export interface PostgresConnection {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface PostgresServer extends PostgresConnection {
  stop(): void;
}

/** Why there is no PostgreSQL, or undefined where there is: for `requirePart`. */
export function postgresMissing(): string | undefined {
  return postgresFolder() ? undefined : "no `postgres` and `initdb` found; run `node scripts/setup.mjs`";
}

/** PostgreSQL refuses to run as root: then it gets a user that can do less. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    try {
      const id = (flag: string) => Number(execFileSync("id", [flag, name], { encoding: "utf8", stdio: "pipe" }));
      return { uid: id("-u"), gid: id("-g") };
    } catch {
      // this machine has no such user; try the next
    }
  }
  throw new Error("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run it as");
}

/** The programs, or a copy of them where their folder is closed to the user that is to run them. */
function readablePrograms(user: ReturnType<typeof unprivileged>, temp: string): string {
  const folder = postgresFolder();
  if (!folder) throw new Error(`PostgreSQL: ${postgresMissing()}`);
  try {
    execFileSync(join(folder, "postgres"), ["--version"], { ...user, cwd: temp, stdio: "pipe" });
    return folder;
  } catch {
    cpSync(dirname(folder), join(temp, "programs"), { recursive: true, verbatimSymlinks: true });
    return join(temp, "programs", "bin");
  }
}

function ready(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let printed = "";
    server.stderr?.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.includes("ready to accept connections")) resolve();
    });
    server.on("error", reject);
    server.on("exit", (code) => reject(new Error(`postgres ended with ${code}:\n${printed}`)));
  });
}

/** Removes a folder that a dying server may still write to; no waiting for events, as the process may be ending. */
function removeSoon(folder: string): void {
  for (let attempt = 0; existsSync(folder) && attempt < 40; attempt++) {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // something was written meanwhile
    }
    if (existsSync(folder)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  }
}

/** Starts a server on a free loopback port, its data in a temporary folder; both go with `stop`, or with the process. */
export async function startPostgres(): Promise<PostgresServer> {
  const user = unprivileged();
  const temp = mkdtempSync(join(realpathSync(tmpdir()), "dbt-remote-pg-"));
  chmodSync(temp, 0o755);
  const programs = readablePrograms(user, temp);
  const data = join(temp, "data");
  const passwordFile = join(temp, "password");
  const password = randomBytes(12).toString("hex");
  writeFileSync(passwordFile, password);
  if (user) for (const path of [temp, passwordFile]) chownSync(path, user.uid, user.gid);
  // The user's own locale and PG* variables would make tests differ between machines.
  const env = { PATH: process.env["PATH"], LC_ALL: "C" };
  const options = { ...user, cwd: temp, env };
  const initArgs = ["-D", data, "-U", "dbt", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256", "--no-sync"];
  execFileSync(join(programs, "initdb"), [...initArgs, `--pwfile=${passwordFile}`], { ...options, stdio: "pipe" });
  const port = await freePort();
  const settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "full_page_writes=off"];
  const args = ["-D", data, "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])];
  const server = spawn(join(programs, "postgres"), args, { ...options, stdio: ["ignore", "ignore", "pipe"] });
  const stop = () => {
    process.off("exit", stop);
    if (server.exitCode === null) server.kill("SIGQUIT"); // at once: the data is thrown away
    removeSoon(temp);
  };
  process.on("exit", stop);
  await ready(server);
  // It must not keep the test process alive.
  server.unref();
  (server.stderr as unknown as { unref(): void }).unref();
  return { host: "127.0.0.1", port, user: "dbt", password, database: "postgres", stop };
}

let own: Promise<PostgresServer> | undefined;

/** Connection values of a fresh, empty database on the shared server. */
export async function postgresDatabase(): Promise<PostgresConnection> {
  const shared = process.env["TEST_POSTGRES"];
  own ??= shared === undefined ? startPostgres() : undefined;
  const server: PostgresConnection = own ? await own : JSON.parse(shared ?? "");
  const { host, port, user, password } = server;
  const database = `t_${randomBytes(6).toString("hex")}`;
  const create = [
    "import json, psycopg2, sys",
    "c = psycopg2.connect(**json.loads(sys.argv[1])); c.autocommit = True",
    "c.cursor().execute('create database ' + sys.argv[2])",
  ].join("\n");
  const connection = JSON.stringify({ host, port, user, password, dbname: server.database });
  execFileSync(python, ["-c", create, connection, database], { stdio: "pipe" });
  return { host, port, user, password, database };
}
