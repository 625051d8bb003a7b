/** What `dbt clean` deletes, here: after it succeeded on the server, by dbt's own rules. */
import { rm } from "node:fs/promises";
import path from "node:path";
import type { Places } from "./places.ts";
import { realPath } from "./wire-paths.ts";

/**
 * Deletes the project's clean-targets. Folders outside of the project only where the command said so; dbt refuses to
 * clean sources, so what succeeded there names none.
 */
export async function cleanLocally(places: Places, options: { readonly alsoOutside: boolean }): Promise<void> {
  const project = realPath(places.projectDir);
  for (const target of places.cleanTargets) {
    const folder = realPath(path.resolve(project, target));
    const holdsProject = folder === project || project.startsWith(folder + path.sep);
    const isInside = folder.startsWith(project + path.sep);
    if (holdsProject || (!isInside && !options.alsoOutside)) continue;
    // dbt passes over what it can't delete.
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}
