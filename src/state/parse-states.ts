/**
 * dbt's memory of parsed projects, for jobs whose folders are new each time. A few for each workspace; what they are worth
 * is dbt's to decide, which checks all of it again.
 */
import { randomUUID } from "node:crypto";
import { update } from "./compare-and-set.ts";
import type { State } from "./port.ts";
import { readAll } from "./read-all.ts";

export const PARSE_STATES = "parse-states";

/** What dbt itself compares before it uses a parse state. */
export interface ParseStateKey {
  /** Of engine, connection, target and vars: another one is of no use. */
  readonly main: string;
  /** Of the environment: with another one, some files are parsed again. */
  readonly environment: string;
}

interface Entry extends ParseStateKey {
  readonly blob: string;
  readonly usedAtMs: number;
}

/** The last used first. */
export interface ParseStatesRecord {
  readonly entries: readonly Entry[];
}

export interface ParseStateStore {
  /** The one of this key, else the newest that differs in its environment alone. */
  find(workspace: string, key: ParseStateKey): Promise<Buffer | undefined>;
  /** Keeps it in place of one of the same key; what was not used for longest goes. */
  keep(workspace: string, key: ParseStateKey, content: Buffer): Promise<void>;
}

const KEPT_EACH = 4;
const DAY_MS = 24 * 60 * 60 * 1000;

export const parseStateBlobs = "parse-states/";

export function createParseStateStore(
  { records, blobs }: Pick<State, "records" | "blobs">,
  now: () => number,
): ParseStateStore {
  const isSame = (a: ParseStateKey, b: ParseStateKey): boolean => a.main === b.main && a.environment === b.environment;

  /** Puts an entry first, and removes the blobs that are named no more. */
  async function putFirst(workspace: string, entry: Entry): Promise<void> {
    let gone: readonly Entry[] = [];
    const change = (before: ParseStatesRecord): ParseStatesRecord => {
      const entries = [entry, ...before.entries.filter((each) => !isSame(each, entry))].slice(0, KEPT_EACH);
      gone = before.entries.filter(({ blob }) => entries.every((each) => each.blob !== blob));
      return { entries };
    };
    const isKept =
      (await update(records, PARSE_STATES, workspace, change)) ??
      (await records.create<ParseStatesRecord>(PARSE_STATES, workspace, { entries: [entry] }));
    if (isKept === undefined) await update(records, PARSE_STATES, workspace, change);
    for (const { blob } of gone) await blobs.remove(blob);
  }

  return {
    async find(workspace, key) {
      const entries = (await records.get<ParseStatesRecord>(PARSE_STATES, workspace))?.data.entries ?? [];
      const entry = entries.find((each) => isSame(each, key)) ?? entries.find(({ main }) => main === key.main);
      if (entry === undefined) return undefined;
      const content = await blobs.read(entry.blob);
      if (content === undefined) return undefined;
      // A project that does not change is not forgotten for it.
      if (now() - entry.usedAtMs > DAY_MS) await putFirst(workspace, { ...entry, usedAtMs: now() });
      return readAll(content);
    },
    async keep(workspace, key, content) {
      const blob = `${parseStateBlobs}${workspace}/${randomUUID()}`;
      await blobs.put(blob, content);
      await putFirst(workspace, { ...key, blob, usedAtMs: now() });
    },
  };
}
