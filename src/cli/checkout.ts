/** What stands for a checkout on the wire: the path itself is nobody's business. */
import { createHash } from "node:crypto";
import type { Env } from "./context.ts";
import { clientId } from "./identity.ts";
import { realPath } from "./wire-paths.ts";

export async function checkoutOf(env: Env, projectDir: string): Promise<string> {
  const identity = `${await clientId(env)}\0${realPath(projectDir)}`;
  return createHash("sha256").update(identity).digest("hex").slice(0, 40);
}
