/** Questions on the terminal. */
import { createInterface } from "node:readline/promises";
import type { CliContext } from "./context.ts";

type Terminals = Pick<CliContext, "stdin" | "stderr">;

/** Whether somebody is there to answer. */
export function canAsk({ stdin, stderr }: Terminals): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

/** Whether the answer is yes; what is no answer is a no. */
export async function ask({ stdin, stderr }: Terminals, question: string): Promise<boolean> {
  const prompt = createInterface({ input: stdin, output: stderr });
  const answer = await prompt.question(`${question} [y/N] `).finally(() => prompt.close());
  return /^y(es)?$/i.test(answer.trim());
}
