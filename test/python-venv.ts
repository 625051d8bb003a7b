/** Python programs that only some tests need, each in an environment of its own below .cache, made once. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./folders.ts";

export interface VenvParams {
  /** Of the folder. */
  readonly name: string;
  /** As pip takes them. */
  readonly packages: readonly string[];
  /** Names of interpreters, the best first. */
  readonly pythons: readonly string[];
}

export type Venv = { readonly python: string } | { readonly missing: string };

const MAKE_MS = 60_000;
const INSTALL_MS = 600_000;

/** The environment's Python, or why there is none: for `requirePart`. */
export function pythonVenv({ name, packages, pythons }: VenvParams): Venv {
  const folder = join(root, ".cache", "venvs", name);
  const python = join(folder, "bin", "python");
  const stampFile = join(folder, "packages.txt");
  const stamp = packages.join("\n");
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return { python };
  const base = pythons.find((each) => run(each, ["-c", "import venv, ensurepip"], MAKE_MS) === undefined);
  if (base === undefined) return { missing: `none of ${pythons.join(", ")} with venv is installed` };
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(root, ".cache", "venvs"), { recursive: true });
  const options = ["--quiet", "--disable-pip-version-check"];
  const failure =
    run(base, ["-m", "venv", folder], MAKE_MS) ??
    run(python, ["-m", "pip", "install", ...options, ...packages], INSTALL_MS);
  if (failure !== undefined) return { missing: `pip could not install ${packages.join(", ")}: ${failure}` };
  writeFileSync(stampFile, stamp);
  return { python };
}

/** Undefined where it went well, else the last line that it printed. */
function run(command: string, args: readonly string[], timeoutMs: number): string | undefined {
  const { status, stderr, error } = spawnSync(command, args, { encoding: "utf8", timeout: timeoutMs });
  if (status === 0) return undefined;
  return error?.message ?? (stderr.trim().split("\n").at(-1) || `exit code ${status}`);
}
