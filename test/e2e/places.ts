/** One command on two equal folders, by local dbt and by dbt-remote: afterwards both hold the same files. */
import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cli, localDbt, type TestServer, tempFolder } from "../harness.ts";
import { DUCKDB_PROFILE, filesIn, projectYaml, writeFiles } from "./written-project.ts";

export interface Variant {
  readonly what: string;
  /** Below the folder that holds the project `app`. */
  readonly cwd: string;
  readonly args?: readonly string[];
  readonly env?: (folder: string) => Record<string, string>;
  /** Where profiles.yml lies: the folder `conf`, or the home's. */
  readonly profilesAt?: "home";
  /** More lines of dbt_project.yml. */
  readonly yaml?: string;
  /** Checks of what dbt-remote left. */
  readonly check?: (folder: string) => void;
}

/** Files that a machine keeps for itself: dbt's memory of the project, the warehouse, an anonymous id. */
const OWN = /(partial_parse\.msgpack|\.duckdb|\.user\.yml)$/;

/** Runs `parse` both ways. What was there before stays, and is not written to except for the log, which grows. */
export async function writtenAlike(server: TestServer, variant: Variant): Promise<void> {
  const { cwd, args = [], env, profilesAt, yaml = "" } = variant;
  const before = writeFiles({
    "app/dbt_project.yml": projectYaml(yaml),
    "app/models/one.sql": "select 1 as id",
    "app/target/mine.txt": "mine",
    "work/logs-here/dbt.log": "before\n",
    "outside/mine.txt": "mine",
  });
  const folders = [before, tempFolder("project")] as const;
  cpSync(before, folders[1], { recursive: true });
  const homes = folders.map((folder) => {
    const home = tempFolder("home");
    const at = profilesAt === "home" ? join(home, ".dbt") : join(folder, "conf");
    writeFiles({ "profiles.yml": DUCKDB_PROFILE }, at);
    return home;
  });
  const optionsOf = (side: 0 | 1) => ({
    cwd: join(folders[side], cwd),
    env: env?.(folders[side]) ?? {},
    ...(homes[side] !== undefined && { home: homes[side] }),
  });
  const local = await localDbt(["parse", ...args], optionsOf(0));
  const remote = await cli(["parse", ...args], { ...optionsOf(1), server });
  assert.equal(local.code, 0, local.stdout + local.stderr);
  assert.equal(remote.code, 0, remote.stdout + remote.stderr);
  const [expected, made] = folders.map((folder) => filesIn(folder).filter((file) => !OWN.test(file)));
  assert.deepEqual(made, expected);
  assert.ok(made?.some((file) => file.endsWith("/manifest.json")) && made.some((file) => file.endsWith("/dbt.log")));
  assert.equal(readFileSync(join(folders[1], "app/target/mine.txt"), "utf8"), "mine");
  variant.check?.(folders[1]);
}
