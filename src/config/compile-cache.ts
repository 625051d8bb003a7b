/** What V8 has compiled of a program, kept for its next start. */
import module from "node:module";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * In the user's own cache folder, where nobody else may write: what is kept there is run. Where there is none that can be
 * written (a container's user has no home), in the folder `otherwise`, which has to be as private. An older Node keeps
 * nothing.
 */
export function keepCompiled(env: Readonly<Record<string, string | undefined>>, otherwise?: string): void {
  const home = env["HOME"] || env["USERPROFILE"] || homedir();
  const xdg = env["XDG_CACHE_HOME"];
  const caches = xdg !== undefined && isAbsolute(xdg) ? xdg : join(home, ".cache");
  const kept = module.enableCompileCache?.(join(caches, "dbt-remote", "compiled"));
  const { FAILED } = module.constants?.compileCacheStatus ?? {};
  if (kept?.status === FAILED && otherwise !== undefined) module.enableCompileCache?.(otherwise);
}
