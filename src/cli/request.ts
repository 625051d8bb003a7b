/** From what was typed to the run that is posted: snapshot, envelope, inputs and options. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { RunRequest } from "../api/schemas/runs.ts";
import type { DbtArgv } from "../core/dbt-argv.ts";
import { namesUsed } from "../core/dbt-environment.ts";
import { profileChoice } from "../core/dbt-profile.ts";
import { renderEnvVar } from "../core/jinja-env-var.ts";
import { PACKAGES_ID } from "../core/placeholders.ts";
import { describeProject, type ProjectLayout, pathInside } from "../snapshot/project.ts";
import { readYamlMapping } from "../snapshot/project-files.ts";
import { takeSnapshot } from "../snapshot/take.ts";
import { checkoutOf } from "./checkout.ts";
import type { CliContext } from "./context.ts";
import { cacheFolder, homeFolder } from "./folders.ts";
import { manifestSnapshot } from "./manifest-snapshot.ts";
import type { Places } from "./places.ts";
import { dbtValue, profilesDirOf } from "./project-dir.ts";
import { outputFiles, outsideFolders, stateFolders, wireArgs, wireFlagVariables } from "./request-args.ts";
import { parseDotenv, type TravellingEnv, travellingEnv } from "./request-env.ts";
import { type LocalInput, localInputs } from "./request-inputs.ts";
import { type TravellingProfile, travellingProfile } from "./request-profile.ts";
import type { Settings } from "./settings.ts";
import type { Sendable } from "./upload.ts";
import { createWirePaths, realPath, type WirePaths } from "./wire-paths.ts";

export interface BuiltRun {
  readonly request: RunRequest;
  readonly snapshot: Sendable;
  readonly inputs: readonly LocalInput[];
  readonly places: Places;
  /** What a user should know, a sentence each. */
  readonly notices: readonly string[];
  /** Secrets that are used and set here, and not sent. */
  readonly withheld: readonly string[];
}

/** How long a run may be unfollowed where CI is set: a cancelled pipeline must not leave runs behind. */
const CI_DISCONNECT_MS = 60_000;

/** Reads the project and builds the run. Nothing has been sent when it resolves. */
export async function buildRun(context: CliContext, settings: Settings, dbt: DbtArgv): Promise<BuiltRun> {
  const { env, cwd } = context;
  const { values } = settings;
  // Without links, so that relative paths mean the same to the snapshot and to us.
  const isMissing = !existsSync(settings.projectDir);
  const projectDir = isMissing ? emptyFolder() : realPath(settings.projectDir);
  const paths = createWirePaths(projectDir);
  const render = (text: string) => renderEnvVar(text, env);
  const logPath = dbtValue(dbt, env, "--log-path");
  const layoutOptions = {
    targetPath: dbtValue(dbt, env, "--target-path"),
    logPath: logPath === undefined ? undefined : path.resolve(cwd, logPath),
    render,
    home: homeFolder(env),
  };
  const layout = describeProject(projectDir, layoutOptions);
  const { project } = layout;
  const folders = { cwd, projectDir, isMissing, targetDir: project.targetDir };
  const profile = travellingProfile({
    profilesDir: profilesDirOf(dbt, context),
    projectDir,
    project: readYamlMapping(path.join(projectDir, "dbt_project.yml")),
    choice: profileChoice(dbt, env),
    env,
    home: homeFolder(env),
    sendKeyfile: values.sendKeyfile,
  });
  const { snapshot, envNames, inRoot } = await snapshotFor(context, settings, layout, profile);
  const travelling = travellingEnv({
    env,
    dotenv: readDotenv(projectDir),
    used: [...envNames, ...profile.envNames],
    flags: { ...wireFlagVariables(env, folders, paths), ...outsideFolders(project, layoutOptions, paths) },
    asked: values.env,
    secretNames: values.secretNames,
    sendSecret: values.sendSecret,
  });
  const inputs = await localInputs(dbt, {
    projectDir,
    targetDir: project.targetDir,
    stateFolders: stateFolders(dbt, env, folders),
    paths,
  });
  const args = wireArgs(dbt, folders, paths);
  const checkout = await checkoutOf(env, settings.projectDir);
  return {
    request: {
      command: [...dbt.argv],
      args,
      mode: values.manifest === undefined ? "project" : "manifest",
      snapshotId: snapshot.id,
      projectDir: inRoot,
      workspace: values.workspace === undefined ? { checkout } : { checkout, name: values.workspace },
      envelope: envelopeOf(profile, travelling),
      inputs: inputs.map(({ path: at, sha256, size }) => ({ path: at, sha256, size })),
      options: optionsOf(context, settings),
      noWait: values.noWait,
    },
    snapshot,
    inputs,
    places: {
      projectDir,
      targetDir: project.targetDir,
      logDir: project.logDir,
      packagesDir: project.packagesDir,
      outside: outsideOf(project, paths),
      localPackages: linkedPackages(layout),
      outputs: outputFiles(dbt, folders),
      cleanTargets: project.cleanTargets,
      checkout,
    },
    notices: [...layout.warnings, ...profile.notices, ...travelling.notices],
    withheld: travelling.withheld,
  };
}

function outsideOf({ dir, packagesDir }: ProjectLayout["project"], { outside }: WirePaths): Record<string, string> {
  return pathInside(dir, packagesDir) === undefined ? { ...outside, [PACKAGES_ID]: packagesDir } : { ...outside };
}

/** The local packages that `dbt deps` links to, by name: those that packages.yml names, and theirs. */
function linkedPackages({ project, localPackages }: ProjectLayout): Record<string, string> {
  const found = new Map<string, string>();
  const add = (locals: readonly string[]) => {
    for (const local of locals) {
      const dir = path.resolve(project.dir, local);
      const each = localPackages.find((one) => one.dir === dir);
      if (each?.name === undefined || found.has(each.name)) continue;
      found.set(each.name, dir);
      add(each.localPackages);
    }
  };
  add(project.localPackages);
  return Object.fromEntries(found);
}

/** Stands for a project folder that does not exist: dbt then complains of that in its own words. */
function emptyFolder(): string {
  const folder = mkdtempSync(path.join(realPath(tmpdir()), "dbt-remote-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Taken {
  readonly snapshot: Sendable;
  readonly envNames: readonly string[];
  /** The project's folder in the snapshot. */
  readonly inRoot: string;
}

async function snapshotFor(
  { env, cwd }: CliContext,
  { values }: Settings,
  layout: ProjectLayout,
  profile: TravellingProfile,
): Promise<Taken> {
  const { manifest, extraPackages, seedsPath } = values;
  if (manifest !== undefined) {
    const here = (file: string | undefined) => (file === undefined ? undefined : path.resolve(cwd, file));
    const snapshot = await manifestSnapshot({
      manifest: path.resolve(cwd, manifest),
      extraPackages: here(extraPackages),
      seedsPath: here(seedsPath),
      layout,
    });
    return { snapshot, envNames: snapshot.envNames, inRoot: "." };
  }
  const snapshot = await takeSnapshot({
    projectDir: layout.project.dir,
    layout,
    cacheDir: path.join(cacheFolder(env), "snapshots"),
    include: values.include,
    exclude: profile.warehouseFiles,
    scan: namesUsed,
    scanVersion: "1",
  });
  return { snapshot, envNames: snapshot.envNames, inRoot: snapshot.projectDir };
}

function readDotenv(projectDir: string): Record<string, string> {
  const file = path.join(projectDir, ".env");
  return existsSync(file) ? parseDotenv(readFileSync(file, "utf8")) : {};
}

function envelopeOf(profile: TravellingProfile, { env, dotenv, secretNames }: TravellingEnv) {
  return {
    profiles: profile.text,
    env: { ...env },
    dotenv: { ...dotenv },
    secretNames: [...secretNames],
    files: [...profile.files],
  };
}

function optionsOf({ env }: CliContext, { values }: Settings) {
  const { detach, cancelOnDisconnect } = values;
  const byDefault = env["CI"] && !detach ? CI_DISCONNECT_MS : 0;
  return {
    timeoutMs: values.timeout ?? null,
    cancelOnDisconnectMs: (cancelOnDisconnect ?? byDefault) || null,
    elementary: values.elementary,
    jobProfile: values.jobProfile ?? null,
  };
}
