/** What need not wait for dbt's end is done while dbt works. */
import { packStream } from "../snapshot/pack.ts";
import { readPack } from "../snapshot/read-pack.ts";
import { PACK_LIMITS } from "./apply-artifacts.ts";
import type { Env } from "./context.ts";
import { prunePlaces } from "./places.ts";

/** Nothing depends on it: who calls it may ignore a failure. */
export async function prepareHome(env: Env): Promise<void> {
  await prunePlaces(env);
  await unpackNothing();
}

/** Code that runs for the first time is compiled first: better now than when somebody waits for a run's files. */
async function unpackNothing(): Promise<void> {
  const content = Buffer.from("{}\n");
  const input = { path: "target/nothing.json", mode: "100644", size: content.length, content } as const;
  for await (const item of readPack(packStream([input]).stream, PACK_LIMITS)) await item.bytes();
}
