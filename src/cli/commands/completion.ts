/** `dbt-remote completion SHELL`. */
import { AppError } from "../../core/errors.ts";
import { completionScript, SHELLS } from "../completion.ts";
import { createOutput } from "../output.ts";
import type { OwnCommand } from "../own-verb.ts";

export async function completion({ context, positionals }: OwnCommand): Promise<number> {
  const shell = SHELLS.find((each) => each === positionals[0]);
  if (shell === undefined || positionals.length > 1) {
    throw new AppError("bad_argument", `dbt-remote completion takes one of ${SHELLS.join(", ")}.`, {
      hint: 'For bash: eval "$(dbt-remote completion bash)"',
    });
  }
  const output = createOutput(context.stdout, context.stderr, { quiet: false });
  await output.out.write(completionScript(shell));
  await output.flush();
  return 0;
}
