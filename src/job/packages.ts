/** Sees to it that the packages a project lists are installed, as dbt itself would demand. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Readable } from "node:stream";
import { type DbtArgv, lastValue } from "../core/dbt-argv.ts";
import { DBT_FLAG_VARIABLES } from "../core/dbt-environment.ts";
import type { DbtEngine } from "../dbt/port.ts";
import { stopDbt } from "../dbt/stop.ts";
import type { SnapshotEntry } from "../snapshot/entry.ts";
import { readYamlMapping } from "../snapshot/project-files.ts";
import type { JobLog } from "./job-log.ts";
import type { PackageCache } from "./package-cache.ts";
import type { StopSwitch } from "./stopping.ts";
import type { Workspace } from "./workspace.ts";

/** Commands that need no packages, or install or remove them themselves. */
const WITHOUT_PACKAGES: ReadonlySet<string> = new Set(["", "deps", "clean", "init", "debug", "docs serve"]);
const LISTS = ["packages.yml", "dependencies.yml", "package-lock.yml"];

export interface PackagesParams {
  readonly workspace: Workspace;
  /** Files of the snapshot. */
  readonly entries: readonly SnapshotEntry[];
  readonly packagesDir: string;
  /** The run's own command. */
  readonly parsed: DbtArgv;
  readonly env: Readonly<Record<string, string>>;
  readonly engine: Pick<DbtEngine, "start">;
  readonly log: JobLog;
  readonly stop: StopSwitch;
  /** Where folders are new for each run: what was installed before. */
  readonly cache?: PackageCache | undefined;
}

/** Runs `dbt deps` where it is needed. Where that fails, dbt's own complaint about missing packages follows. */
export async function bringPackages(params: PackagesParams): Promise<void> {
  const { workspace, entries, packagesDir, parsed, log, cache } = params;
  if (WITHOUT_PACKAGES.has(parsed.verb) || parsed.options.some(({ option }) => option.names.includes("--help"))) return;
  const listed = countListed(workspace.project);
  if (listed === 0) return;
  const sent = sentPackages(workspace, entries, packagesDir);
  if (sent.size > 0) removeStrays(packagesDir, sent);
  const installed = countInstalled(packagesDir);
  const isCurrent = sent.size > 0 || readInstalled(workspace) === listsHash(workspace, entries);
  if (installed >= listed && isCurrent) return;
  if ((await cache?.restore()) === true && countInstalled(packagesDir) >= listed) {
    noteInstalled(workspace, entries);
    return;
  }
  const why = installed < listed ? `${installed} of ${listed} packages are installed` : "the list of packages changed";
  log.say(`dbt deps: ${why}`);
  if (!(await runDeps(params))) return;
  noteInstalled(workspace, entries);
  await cache?.keep();
}

/** To be told after every `dbt deps`: what the packages in the workspace were installed for. */
export function noteInstalled(workspace: Workspace, entries: readonly SnapshotEntry[]): void {
  writeFileSync(workspace.packagesFile, JSON.stringify({ lists: listsHash(workspace, entries) }));
}

/** Clones keep the URL they came from, and with it a git token. dbt needs none of that again. */
export function removeClones(packagesDir: string): void {
  for (const name of foldersIn(packagesDir)) rmSync(join(packagesDir, name, ".git"), { recursive: true, force: true });
}

/** As dbt counts: packages.yml, or the packages of dependencies.yml. */
function countListed(project: string): number {
  const count = (file: string): number => {
    const packages = readYamlMapping(join(project, file))["packages"];
    return Array.isArray(packages) ? packages.length : 0;
  };
  return count("packages.yml") || count("dependencies.yml");
}

function countInstalled(packagesDir: string): number {
  return foldersIn(packagesDir).filter((name) => !name.startsWith("__")).length;
}

/** Names in the packages folder that came with the snapshot. */
function sentPackages(workspace: Workspace, entries: readonly SnapshotEntry[], packagesDir: string): Set<string> {
  const prefix = `${relative(workspace.tree, packagesDir)}/`;
  const below = entries.filter(({ path }) => path.startsWith(prefix));
  return new Set(below.map(({ path }) => path.slice(prefix.length).split("/")[0] ?? ""));
}

/** dbt takes every folder here for a package; one that an earlier run installed is none of this project's. */
function removeStrays(packagesDir: string, sent: ReadonlySet<string>): void {
  for (const name of foldersIn(packagesDir)) {
    if (!sent.has(name)) rmSync(join(packagesDir, name), { recursive: true, force: true });
  }
}

function listsHash(workspace: Workspace, entries: readonly SnapshotEntry[]): string {
  const folder = relative(workspace.tree, workspace.project);
  const paths = new Set(LISTS.map((name) => (folder === "" ? name : `${folder}/${name}`)));
  const lists = entries.filter(({ path }) => paths.has(path)).map(({ path, sha256 }) => [path, sha256]);
  return createHash("sha256").update(JSON.stringify(lists)).digest("hex");
}

function readInstalled({ packagesFile }: Workspace): string | undefined {
  try {
    const { lists } = JSON.parse(readFileSync(packagesFile, "utf8")) as { lists?: unknown };
    return typeof lists === "string" ? lists : undefined;
  } catch {
    return undefined;
  }
}

/** Folders, and links that lead to one. */
function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.isDirectory());
  } catch {
    return [];
  }
}

const NO_CREDENTIAL =
  /could not read (?:Username|Password) for '([^']+)'|terminal prompts disabled|Authentication failed for '([^']+)'/;

/** True where dbt deps succeeded. What it prints are the job's lines. */
async function runDeps({ workspace, packagesDir, parsed, env, engine, log, stop }: PackagesParams): Promise<boolean> {
  const vars = lastValue(parsed, "--vars");
  const dbt = await engine.start({
    args: [
      "--no-use-colors",
      "deps",
      "--log-path",
      join(workspace.base, "deps-logs"),
      ...(vars === undefined ? [] : ["--vars", vars]),
    ],
    cwd: workspace.project,
    env: withoutFlags(env),
  });
  stop.onPressed((request) => void stopDbt(dbt, request));
  let tail = "";
  const say = async (stream: Readable): Promise<void> => {
    for await (const chunk of stream) {
      tail = `${tail}${(chunk as Buffer).toString("utf8")}`.slice(-20_000);
      await log.write("job", chunk as Buffer);
    }
  };
  const drain = async (): Promise<void> => {
    for await (const _ of dbt.events);
  };
  await Promise.all([say(dbt.stdout), say(dbt.stderr), drain()]);
  const exit = await dbt.exit;
  removeClones(packagesDir);
  rmSync(join(workspace.base, "deps-logs"), { recursive: true, force: true });
  if (exit.code === 0) return true;
  const refused = NO_CREDENTIAL.exec(tail);
  if (refused !== null) {
    const url = refused[1] ?? refused[2] ?? "the repository of a package";
    log.say(
      `git has no credential for ${url}: name it in packages.yml with env_var() and send it with --send-secret NAME`,
    );
  }
  return false;
}

const KEPT = ["SEND_ANONYMOUS_USAGE_STATS", "PROFILES_DIR", "PROJECT_DIR"];

/** Without the flags that are meant for the run's own command. */
function withoutFlags(env: Readonly<Record<string, string>>): Record<string, string> {
  const dropped = new Set(DBT_FLAG_VARIABLES.filter((name) => !KEPT.some((kept) => name.endsWith(kept))));
  return Object.fromEntries(Object.entries(env).filter(([name]) => !dropped.has(name)));
}
