import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { State } from "../../src/state/port.ts";
import { open } from "./open-local-state.ts";
import { describeStateContract } from "./state-contract.ts";

describeStateContract("local", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "local-state-"));
  const opened: State[] = [];
  const reopen = async (): Promise<State> => {
    const state = await open({ dataDir });
    opened.push(state);
    return state;
  };
  return {
    state: await reopen(),
    reopen,
    opener: { module: new URL("open-local-state.ts", import.meta.url).href, params: { dataDir } },
    async close() {
      for (const state of opened) await state.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
});
