/** The program: parse, do it, and turn every failure into a message and an exit code. Loads only what it needs. */
import type { CliVerb } from "../config/cli-options.ts";
import type { CliContext } from "./context.ts";
import type { OwnCommand } from "./own-verb.ts";
import { type Parsed, parse } from "./parse.ts";
import { reported } from "./report-errors.ts";

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

/** Resolves to the exit code; never rejects. */
export function main(context: CliContext): Promise<number> {
  return reported(context, async () => run(context, parse(context.argv)));
}
