/** `dbt-remote --version`: dbt's own block, then this program and the server. */
import type { ServerAnswer } from "../../api/schemas/server.ts";
import type { FlagTexts } from "../../config/options.ts";
import { AppError } from "../../core/errors.ts";
import type { CliContext } from "../context.ts";
import { startSession } from "../own-verb.ts";
import { ownVersion } from "../version.ts";

/** Versions that differ in what they promise each other. */
function mismatch(own: string, server: string): string | undefined {
  const series = (version: string) =>
    version
      .split(".")
      .slice(0, version.startsWith("0.") ? 2 : 1)
      .join(".");
  if (series(own) === series(server)) return undefined;
  return `dbt-remote ${own} and dbt-server ${server} may not understand each other: install the same version of both.`;
}

export async function version(context: CliContext, flags: FlagTexts): Promise<number> {
  const { settings, output, client: find } = await startSession({ context, flags });
  const own = ownVersion();
  let server: ServerAnswer | undefined;
  let where = "";
  try {
    const client = await find();
    where = client.baseUrl;
    server = await client.server({ versionText: true });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    await output.out.write(`dbt-remote: ${own}\n`);
    output.complain(`The versions of dbt and of the server are not known: ${error.message}`);
    if (error.hint !== undefined) output.complain(`  ${error.hint}`);
    await output.flush();
    return 0;
  }
  if (settings.values.json) await output.out.write(`${JSON.stringify({ version: own, server }, null, 2)}\n`);
  else {
    const text = server.dbt?.versionText?.trimEnd();
    const block = text ?? (server.dbt === null ? "The server has found no dbt." : `dbt: ${server.dbt.version}`);
    await output.out.write(`${block}\n\ndbt-remote: ${own}\ndbt-server: ${server.version} at ${where}\n`);
  }
  const problem = mismatch(own, server.version);
  if (problem !== undefined) output.complain(problem);
  await output.flush();
  return 0;
}
