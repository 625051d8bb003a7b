/** The folders that a run works in, the same absolute ones each time: dbt's parse state holds no other way. */
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, posix } from "node:path";
import type { Envelope } from "../core/envelope.ts";
import { AppError } from "../core/errors.ts";
import { PROFILES } from "../core/placeholders.ts";
import type { Run } from "../core/run.ts";
import type { RunFolders } from "./adapt.ts";

export interface Workspace extends RunFolders {
  /** Holds all of the below, and nothing else's. */
  readonly base: string;
  /** The snapshot's root; the project is in it. */
  readonly tree: string;
  /** What a restore remembers of `tree`. */
  readonly indexFile: string;
  /** The hash of what the packages were last installed for. */
  readonly packagesFile: string;
  /** The warehouse file that the user was told of. */
  readonly toldFile: string;
  /** Profile and key files of the running run, empty between runs. */
  readonly ownProfiles: string;
}

export interface WorkspaceParams {
  readonly dataDir: string;
  readonly run: Pick<Run, "workspace" | "projectDir" | "profileFrom">;
  readonly root: 1 | 2;
  /** The one folder to work in, whatever the workspace, of a container that runs nothing else. */
  readonly fixedBase?: string | undefined;
  /** Folder of the server's own profiles. */
  readonly serverProfiles: string | undefined;
}

/** Says where everything is, and makes the folders that are missing. Profiles of a run that was cut off are removed. */
export function openWorkspace({ dataDir, run, root, fixedBase, serverProfiles }: WorkspaceParams): Workspace {
  if (run.profileFrom === "server" && serverProfiles === undefined) {
    throw new AppError(
      "bad_profile",
      "The run uses a profile of the server's, but the server has no profiles folder.",
      {
        hint: "Start dbt-server with --profiles-dir DIR.",
      },
    );
  }
  const base = fixedBase ?? join(dataDir, "workspaces", run.workspace, String(root));
  const tree = join(base, "tree");
  const ownProfiles = join(base, "profiles");
  const workspace: Workspace = {
    base,
    tree,
    project: join(tree, posix.normalize(run.projectDir)).replace(/\/$/, ""),
    outside: join(base, "outside"),
    ownProfiles,
    profiles: run.profileFrom === "server" && serverProfiles !== undefined ? serverProfiles : ownProfiles,
    indexFile: join(base, "tree.json"),
    packagesFile: join(base, "packages.json"),
    toldFile: join(base, "warehouse.txt"),
  };
  mkdirSync(workspace.project, { recursive: true, mode: 0o700 });
  mkdirSync(workspace.outside, { recursive: true, mode: 0o700 });
  emptyProfiles(workspace);
  // dbt looks for a `.env` upwards from the project: it must not find one of the machine that it runs on.
  writeFileSync(join(base, ".env"), "");
  return workspace;
}

/** Writes the run's profile and key files, for the executing account alone. */
export function writeProfiles(workspace: Workspace, { profiles, files }: Envelope): void {
  for (const { name, contentBase64 } of files) {
    if (!/^[A-Za-z0-9._-]+$/.test(name) || name.startsWith(".") || name === "profiles.yml") {
      throw new AppError(
        "path_outside",
        `A file sent along is called ${JSON.stringify(name)}; it needs a bare file name.`,
      );
    }
    writeFileSync(join(workspace.ownProfiles, name), Buffer.from(contentBase64, "base64"), { mode: 0o600 });
  }
  if (profiles === null) return;
  let text = profiles;
  for (const { name } of files) text = text.replaceAll(`${PROFILES}/${name}`, join(workspace.ownProfiles, name));
  writeFileSync(join(workspace.ownProfiles, "profiles.yml"), text, { mode: 0o600 });
}

export function emptyProfiles({ ownProfiles }: Workspace): void {
  mkdirSync(ownProfiles, { recursive: true, mode: 0o700 });
  chmodSync(ownProfiles, 0o700);
  for (const name of readdirSync(ownProfiles)) rmSync(join(ownProfiles, name), { recursive: true, force: true });
}
