/** How far readers have come who can't say so themselves: each has a name of its own in a run. */
import { update } from "./compare-and-set.ts";
import type { RecordStore } from "./port.ts";

export const READ_POSITIONS = "read-positions";

interface Positions {
  /** Offsets by the reader's name, the latest last. */
  readonly readers: readonly (readonly [string, number])[];
}

/** Readers beyond this many of one run are forgotten, the one that moved longest ago first. */
const MAX_READERS = 50;

export interface ReadPositionStore {
  get(runId: string, reader: string): Promise<number>;
  /** Never moves back. */
  move(runId: string, reader: string, offset: number): Promise<void>;
}

export function createReadPositionStore(records: RecordStore): ReadPositionStore {
  const positionIn = ({ readers }: Positions, reader: string): number =>
    readers.find(([name]) => name === reader)?.[1] ?? 0;

  return {
    async get(runId, reader) {
      const found = await records.get<Positions>(READ_POSITIONS, runId);
      return found === undefined ? 0 : positionIn(found.data, reader);
    },
    async move(runId, reader, offset) {
      const moved = (positions: Positions): Positions => {
        if (positionIn(positions, reader) >= offset) return positions;
        const others = positions.readers.filter(([name]) => name !== reader);
        return { readers: [...others.slice(1 - MAX_READERS), [reader, offset]] };
      };
      const first = moved({ readers: [] });
      const found = await update<Positions>(records, READ_POSITIONS, runId, moved);
      if (found !== undefined || first.readers.length === 0) return;
      if ((await records.create(READ_POSITIONS, runId, first)) === undefined) {
        await update<Positions>(records, READ_POSITIONS, runId, moved);
      }
    },
  };
}
