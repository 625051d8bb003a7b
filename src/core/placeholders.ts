/**
 * Paths on the wire. An argument's path is relative to the project's folder where it lies in it; a path outside is
 * `@outside/<id>/…`, where `<id>` stands for a folder that only the client knows. The job gives each id a folder of
 * its own in the workspace, the same one each time, and the client puts what comes back where it belongs.
 */
export const OUTSIDE = "@outside/";
/** The folder of the run's profile, as the value of `--profiles-dir`, and in a profile that names a file sent along. */
export const PROFILES = "@profiles";

/** The id of the packages folder where dbt_project.yml puts it outside of the project. */
export const PACKAGES_ID = "packages";

const OUTSIDE_ID = /^@outside\/([a-z0-9][a-z0-9-]{3,63})(\/|$)/;

/** The id of an `@outside/<id>/…` path, or undefined. */
export function outsideId(path: string): string | undefined {
  return OUTSIDE_ID.exec(path)?.[1];
}

/** Whether a path stays inside: relative, `/`-separated, no `..`, or a well-formed `@outside/<id>/…`. */
export function isInside(path: string): boolean {
  const id = outsideId(path);
  const rest = id === undefined ? path : path.slice(OUTSIDE.length + id.length + 1);
  if (id === undefined && (path === "" || path.startsWith("@outside"))) return false;
  if (rest.startsWith("/") || rest.includes("\0") || rest.includes("\\") || /^[A-Za-z]:/.test(rest)) return false;
  return !rest.split("/").includes("..");
}
