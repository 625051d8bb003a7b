/** Counts what is asked of Google, as it is billed and as its limits see it. */
import type { GoogleUse, OnUse } from "../src/gcp/usage.ts";

export interface UseCounts {
  readonly objectWrites: number;
  readonly objectLists: number;
  readonly objectReads: number;
  readonly documentWrites: number;
  readonly documentReads: number;
  readonly deletes: number;
  /** Sent to Cloud Storage, and copied there by composing. */
  readonly objectBytes: number;
}

export interface UseCounter {
  readonly onUse: OnUse;
  /** Of the names that `select` takes; default: all. */
  counts(select?: (name: string) => boolean): UseCounts;
  /** The most writes that one document or object got within any `windowMs`, and its name. */
  busiest(windowMs: number): { readonly writes: number; readonly name: string };
}

interface Timed extends GoogleUse {
  readonly atMs: number;
}

/** To be handed to the clients. */
export function countUse(): UseCounter {
  const uses: Timed[] = [];
  return {
    onUse: (use) => uses.push({ ...use, atMs: performance.now() }),
    counts(select = () => true) {
      const taken = uses.filter(({ name }) => select(name));
      const number = (service: GoogleUse["service"], ...kinds: GoogleUse["kind"][]): number =>
        taken.filter((use) => use.service === service && kinds.includes(use.kind)).length;
      return {
        objectWrites: number("storage", "write"),
        objectLists: number("storage", "list"),
        objectReads: number("storage", "read"),
        documentWrites: number("firestore", "write"),
        documentReads: number("firestore", "read"),
        deletes: number("storage", "delete") + number("firestore", "delete"),
        objectBytes: taken
          .filter(({ service, kind }) => service === "storage" && kind === "write")
          .reduce((sum, { bytes }) => sum + bytes, 0),
      };
    },
    busiest(windowMs) {
      const times = new Map<string, number[]>();
      for (const { kind, service, name, atMs } of uses) {
        if (kind !== "write") continue;
        const key = `${service} ${name}`;
        times.set(key, [...(times.get(key) ?? []), atMs]);
      }
      let busiest = { writes: 0, name: "" };
      for (const [name, ofName] of times) {
        for (const [position, atMs] of ofName.entries()) {
          const writes = ofName.slice(position).filter((each) => each < atMs + windowMs).length;
          if (writes > busiest.writes) busiest = { writes, name };
        }
      }
      return busiest;
    },
  };
}
