/** Temporary folders of a test process: all below one, which goes when the process ends. */
import { cpSync, existsSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";

/** The project's own folder. */
export const root: string = join(import.meta.dirname, "..");

/** Holds everything that this test process writes. */
export const tempRoot: string = mkdtempSync(join(realpathSync(tmpdir()), "dbt-remote-test-"));

process.on("exit", () => {
  if (process.env["KEEP_TEMP"] === "1") console.error(`kept ${tempRoot}`);
  else rmSync(tempRoot, { recursive: true, force: true, maxRetries: 3 });
});

/** A new empty folder, gone when the process ends; kept with `KEEP_TEMP=1`. */
export function tempFolder(prefix = "t"): string {
  return mkdtempSync(join(tempRoot, `${prefix}-`));
}

/** Copies a dbt project to a temporary folder. `project` is a folder's path or a name in test/fixtures/projects. */
export function copyProject(project: string): string {
  const from = isAbsolute(project) ? project : join(root, "test", "fixtures", "projects", project);
  if (!existsSync(from)) throw new Error(`there is no project ${from}`);
  const to = tempFolder("project");
  cpSync(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  return to;
}
