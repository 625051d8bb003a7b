/** Other versions of dbt than the project's own, each in a virtual environment that is made once. */
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./folders.ts";
import { python } from "./programs.ts";

export const DBT_VERSIONS = ["1.8", "1.9", "1.10", "1.12"] as const;
export type DbtVersion = (typeof DBT_VERSIONS)[number];

/** What pip is asked for, in this order. An adapter goes with several versions of dbt Core. */
const PACKAGES: Readonly<Record<DbtVersion, readonly (readonly string[])[]>> = {
  "1.8": [["dbt-core~=1.8.0", "dbt-duckdb~=1.8.0"]],
  "1.9": [["dbt-core~=1.9.0", "dbt-duckdb~=1.9.0"]],
  "1.10": [["dbt-core~=1.10.0", "dbt-duckdb~=1.10.0"]],
  // One of its dependencies is built from what is downloaded outside of the package index; dbt does without it.
  "1.12": [
    ["dbt-core~=1.11.0", "dbt-duckdb~=1.10"],
    ["--no-deps", "dbt-core~=1.12.0"],
    ["metricflow>=0.213,<1", "click>=8.3,<9", "dbt-adapters>=1.24.5,<2", "dbt-common>=1.37.5,<2", "python-dotenv>=1.2"],
    ["opentelemetry-api>=1.26,<2", "dbt-protos>=1.0.514,<2", "sqlparse>=0.5.5,<0.7", "protobuf>=6,<8"],
  ],
};

/** The Python of an environment with this version, made where it is missing; or why it can't be. Takes a minute or two. */
export function dbtVersion(version: DbtVersion): { readonly python: string } | { readonly missing: string } {
  const folder = join(root, ".cache", `dbt-${version}`);
  const own = join(folder, "bin", "python");
  const done = join(folder, ".done");
  if (existsSync(done)) return { python: own };
  try {
    rmSync(folder, { recursive: true, force: true });
    execFileSync(python, ["-m", "venv", folder], { stdio: "pipe" });
    for (const names of PACKAGES[version]) {
      execFileSync(own, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...names], {
        stdio: "pipe",
      });
    }
  } catch (error) {
    return { missing: `dbt ${version} could not be installed: ${error instanceof Error ? error.message : error}` };
  }
  writeFileSync(done, "");
  return { python: own };
}
