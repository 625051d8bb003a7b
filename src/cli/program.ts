/** The program: parse, do it, and turn every failure into a message and an exit code. Loads only what it needs. */
import type { CliVerb } from "../config/cli-options.ts";
import { AppError } from "../core/errors.ts";
import type { CliContext } from "./context.ts";
import type { OwnCommand } from "./own-verb.ts";
import { type Parsed, parse } from "./parse.ts";

async function runVerb(verb: CliVerb, command: OwnCommand): Promise<number> {
  switch (verb) {
    case "runs":
      return (await import("./commands/runs.ts")).runs(command);
    case "logs":
      return (await import("./commands/logs.ts")).logs(command);
    case "attach":
      return (await import("./commands/attach.ts")).attach(command);
    case "cancel":
      return (await import("./commands/cancel.ts")).cancel(command);
    case "artifacts":
      return (await import("./commands/artifacts.ts")).artifacts(command);
    case "config":
      return (await import("./commands/config.ts")).config(command);
    case "completion":
      return (await import("./commands/completion.ts")).completion(command);
  }
}

async function run(context: CliContext, parsed: Parsed): Promise<number> {
  switch (parsed.kind) {
    case "help": {
      const { helpText } = await import("./help.ts");
      const { createOutput } = await import("./output.ts");
      const output = createOutput(context.stdout, context.stderr, { quiet: false });
      await output.out.write(helpText(parsed.words, context.stdout.columns || 100));
      await output.flush();
      return 0;
    }
    case "version":
      return (await import("./commands/version.ts")).version(context, parsed.flags);
    case "local":
      return (await import("./commands/local-dbt.ts")).runLocalDbt(context, parsed.argv, parsed.verb);
    case "own":
      return runVerb(parsed.verb, { context, flags: parsed.flags, positionals: parsed.positionals });
    case "dbt":
      return (await import("./commands/dbt.ts")).runDbt(context, parsed.flags, parsed.dbt);
  }
}

/** What is printed of an error: an expected one reads as a sentence and the next step, any other as it is. */
export function errorText(error: unknown): string {
  if (error instanceof AppError) {
    const hint = error.hint === undefined ? "" : `\n  ${error.hint}`;
    return `dbt-remote: ${error.message}${hint}\n`;
  }
  return `dbt-remote: internal error\n${error instanceof Error ? error.stack : String(error)}\n`;
}

/** Resolves to the exit code; never rejects. */
export async function main(context: CliContext): Promise<number> {
  try {
    return await run(context, parse(context.argv));
  } catch (error) {
    await new Promise<void>((resolve) => context.stderr.write(errorText(error), () => resolve()));
    return error instanceof AppError ? error.exitCode : 2;
  }
}
