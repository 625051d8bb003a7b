/** Work that one of many processes is to do now and then. */
import type { RecordStore } from "./port.ts";

const TURNS = "turns";

interface Turn {
  readonly takenAtMs: number;
}

/** True for one of those who ask, once in each period. */
export async function takeTurn(
  records: RecordStore,
  name: string,
  everyMs: number,
  now: () => number,
): Promise<boolean> {
  const turn: Turn = { takenAtMs: now() };
  const found = await records.get<Turn>(TURNS, name);
  if (found === undefined) return (await records.create(TURNS, name, turn)) !== undefined;
  if (now() - found.data.takenAtMs < everyMs) return false;
  return (await records.replace(TURNS, name, turn, found.version)) !== undefined;
}
