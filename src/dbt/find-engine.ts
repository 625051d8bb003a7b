/** Finds the Python that has dbt, and says what it has, without the seconds that importing dbt takes. */
import { execFile } from "node:child_process";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { AppError } from "../core/errors.ts";
import { isProgram } from "./is-program.ts";
import { dbtEnvironment } from "./job-environment.ts";

const DESCRIBE = fileURLToPath(new URL("../dbt/driver/describe_engine.py", import.meta.url));
const DRIVER = fileURLToPath(new URL("../dbt/driver/dbt_driver.py", import.meta.url));
const DESCRIBE_TIMEOUT_MS = 30_000;
const VERSION_TIMEOUT_MS = 60_000;

export interface Adapter {
  /** As a profile's `type` names it, such as `duckdb`. */
  readonly name: string;
  readonly version: string;
}

/** A Python with dbt Core. */
export interface EngineDescription {
  /** Absolute path of the interpreter. */
  readonly python: string;
  /** dbt's version, such as `1.11.16`. */
  readonly version: string;
  readonly pythonVersion: string;
  readonly adapters: readonly Adapter[];
  readonly sitePackages: string;
  /** Changes whenever something in this Python's site-packages was installed, upgraded or removed. */
  readonly fingerprint: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

export interface FindEngineOptions {
  /** What `--python` says: a path, or a name on PATH. Then nothing else is tried. */
  readonly explicit?: string | undefined;
  readonly env: Environment;
  readonly cwd: string;
  /** Names that dbt may see beside the usual ones, as of `--job-env`. */
  readonly allow?: readonly string[];
}

/** The first Python that has dbt: `explicit`, else of `$VIRTUAL_ENV`, `./.venv`, `python3` on PATH. Throws `dbt_not_found`. */
export async function findEngine(options: FindEngineOptions): Promise<EngineDescription> {
  const tried: string[] = [];
  for (const candidate of candidates(options)) {
    const python = locate(candidate, options);
    if (python === null) {
      tried.push(`${candidate} (no such program)`);
      continue;
    }
    const found = await inspect(python, options.env, options.allow ?? []);
    if (typeof found !== "string") return found;
    tried.push(`${python} (${found})`);
  }
  throw notFound(tried);
}

/** What the Python at this path has. Throws `dbt_not_found` where that is no dbt that can be driven. */
export async function describeEngine(
  python: string,
  env: Environment,
  allow: readonly string[] = [],
): Promise<EngineDescription> {
  const found = await inspect(python, env, allow);
  if (typeof found === "string") throw notFound([`${python} (${found})`]);
  return found;
}

/** Throws `adapter_not_found` where this engine lacks the adapter for a profile's `type`. */
export function requireAdapter(engine: Pick<EngineDescription, "python" | "adapters">, type: string): void {
  if (engine.adapters.some((adapter) => adapter.name === type)) return;
  const has = engine.adapters.map((adapter) => adapter.name).join(", ") || "none";
  throw new AppError(
    "adapter_not_found",
    `The profile needs the dbt adapter "${type}", which ${engine.python} lacks (adapters there: ${has}).`,
    { hint: `Install it: ${engine.python} -m pip install dbt-${type}`, details: { adapter: type } },
  );
}

/** The text of `dbt --version`, as dbt itself prints it. Takes seconds: dbt asks the package index for newer versions. */
export async function versionText(python: string, env: Environment, allow: readonly string[] = []): Promise<string> {
  const result = await runPython(python, [DRIVER, "--", "--version"], env, allow, VERSION_TIMEOUT_MS);
  if (result.error === null) return result.stdout;
  throw new AppError("dbt_not_found", `\`dbt --version\` failed with ${python}: ${result.error}`, {
    hint: `See why with: ${python} -m dbt.cli.main --version`,
  });
}

function candidates({ explicit, env }: FindEngineOptions): string[] {
  if (explicit !== undefined && explicit !== "") return [explicit];
  const inVenv = process.platform === "win32" ? join("Scripts", "python.exe") : join("bin", "python");
  const active = env["VIRTUAL_ENV"];
  return [
    ...(active === undefined || active === "" ? [] : [join(active, inVenv)]),
    join(".venv", inVenv),
    process.platform === "win32" ? "python.exe" : "python3",
  ];
}

/** Absolute path of a program given as a path, relative to `cwd`, or as a bare name on PATH. */
function locate(candidate: string, { env, cwd }: FindEngineOptions): string | null {
  if (/[/\\]/.test(candidate)) {
    const path = resolve(cwd, candidate);
    return isProgram(path) ? path : null;
  }
  for (const folder of (env["PATH"] ?? "").split(delimiter)) {
    const path = resolve(cwd, folder, candidate);
    if (folder !== "" && isProgram(path)) return path;
  }
  return null;
}

/** The description, or in words why this Python does not do. */
async function inspect(
  python: string,
  env: Environment,
  allow: readonly string[],
): Promise<EngineDescription | string> {
  const result = await runPython(python, [DESCRIBE], env, allow, DESCRIBE_TIMEOUT_MS);
  if (result.error !== null) return result.error;
  let found: Record<string, unknown>;
  try {
    found = JSON.parse(result.stdout) as Record<string, unknown>;
  } catch {
    return "not a Python 3.10 or newer";
  }
  const version = found["version"];
  if (typeof version !== "string") {
    const second = found["dbtV2"];
    return typeof second === "string" ? `dbt ${second} is not supported yet` : "dbt is not installed there";
  }
  if (!/^1\.(?:[89]|\d\d+)(?:\D|$)/.test(version)) return `dbt ${version} is not supported, dbt Core 1.8 or newer is`;
  return {
    python,
    version,
    pythonVersion: String(found["pythonVersion"]),
    adapters: found["adapters"] as Adapter[],
    sitePackages: String(found["sitePackages"]),
    fingerprint: String(found["fingerprint"]),
  };
}

function notFound(tried: readonly string[]): AppError {
  return new AppError("dbt_not_found", `No Python with dbt Core was found. Tried: ${tried.join("; ")}.`, {
    hint:
      "Make one with: python3 -m venv .venv && .venv/bin/pip install dbt-core dbt-duckdb (the adapter your profile " +
      "needs), or name one with --python PATH.",
    details: { tried },
  });
}

function runPython(
  python: string,
  args: readonly string[],
  env: Environment,
  allow: readonly string[],
  timeoutMs: number,
): Promise<{ readonly stdout: string; readonly error: string | null }> {
  const environment = dbtEnvironment({ serverEnv: env, allow, envelopeEnv: {}, own: {} });
  return new Promise((done) => {
    const options = { env: environment, timeout: timeoutMs, maxBuffer: 1 << 24, encoding: "utf8" } as const;
    const child = execFile(python, args, options, (failure, stdout, stderr) => {
      if (failure === null) done({ stdout, error: null });
      else done({ stdout, error: failure.killed ? `no answer in ${timeoutMs / 1000} s` : reason(failure, stderr) });
    });
    child.stdin?.end();
  });
}

function reason(failure: Error, stderr: string): string {
  const last = stderr.trimEnd().split("\n").at(-1) ?? "";
  return last === "" ? (failure.message.split("\n")[0] ?? "it failed") : last;
}
