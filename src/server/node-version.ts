/** Which Node dbt-server needs; looked at before anything that an older one lacks is loaded. */
import { AppError } from "../core/errors.ts";

const OLDEST = 24;

/** Throws `node_too_old`. `version` is such as `v20.18.1`. */
export function checkNode(version: string): void {
  if (Number.parseInt(version.replace(/^v/, ""), 10) >= OLDEST) return;
  throw new AppError("node_too_old", `dbt-server needs Node ${OLDEST} or newer, this is ${version}.`, {
    hint: `Install Node ${OLDEST} or newer (https://nodejs.org) and start dbt-server with it`,
  });
}
