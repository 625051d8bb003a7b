/** Turns every failure of a command into a message and an exit code. */
import { AppError } from "../core/errors.ts";
import type { CliContext } from "./context.ts";

/** What is printed of an error: an expected one reads as a sentence and the next step, any other as it is. */
function errorText(error: unknown): string {
  if (error instanceof AppError) {
    const hint = error.hint === undefined ? "" : `\n  ${error.hint}`;
    return `dbt-remote: ${error.message}${hint}\n`;
  }
  return `dbt-remote: internal error\n${error instanceof Error ? error.stack : String(error)}\n`;
}

/** Resolves to the command's exit code, or to that of its failure, which is printed; never rejects. */
export async function reported(
  { stderr }: Pick<CliContext, "stderr">,
  command: () => Promise<number>,
): Promise<number> {
  try {
    return await command();
  } catch (error) {
    await new Promise<void>((resolve) => stderr.write(errorText(error), () => resolve()));
    return error instanceof AppError ? error.exitCode : 2;
  }
}
