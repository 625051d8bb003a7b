/** What a run asks of Google Cloud, counted over the emulators: operations and bytes by size, against the budget and an older design. */
import { measureRunCost, type RunCost } from "../test/run-cost.ts";

/** Lines, and the seconds in which dbt prints them. */
const SIZES = [
  { lines: 100, seconds: 15 },
  { lines: 1_000, seconds: 60 },
  { lines: 10_000, seconds: 300 },
];

/** Of the design that wrote the whole log again with every line: counted against stub storage. */
const OLDER: Readonly<
  Record<number, { readonly objectWrites: number; readonly bytes: string; readonly reads: number }>
> = {
  100: { objectWrites: 100, bytes: "0.6 MB", reads: 400 },
  1000: { objectWrites: 1_000, bytes: "58 MB", reads: 4_000 },
  10000: { objectWrites: 10_000, bytes: "5,980 MB", reads: 40_000 },
};

/** All sizes at once, followed and not: what is counted does not depend on how fast the machine is. */
export async function measureCloudCost(): Promise<readonly RunCost[]> {
  return Promise.all(
    SIZES.flatMap(({ lines, seconds }) =>
      [false, true].map((isFollowed) => measureRunCost({ lines, forMs: seconds * 1000, isFollowed })),
    ),
  );
}

/** The cells of a table; the first row is its head. */
export function cloudCostRows(costs: readonly RunCost[]): string[][] {
  const head = [
    ...["log lines", "seconds", "followed", "documents written", "objects written", "of each allowed"],
    ...["documents read", "objects read", "log written", "its objects", "busiest name, writes in 10 s"],
    ...["Cloud Logging", "older design: objects, bytes, document reads"],
  ];
  const times = (written: number, bytes: number): string => `${(written / bytes).toFixed(2)} × ${kb(bytes)}`;
  return [
    head,
    ...costs.map((cost) => {
      const { counts, seconds, isFollowed, lines } = cost;
      const allowed = 60 + (isFollowed ? 2.5 : 0.5) * seconds;
      const older = OLDER[lines];
      return [
        ...[String(lines), seconds.toFixed(0), isFollowed ? "yes" : "no"],
        ...[String(counts.documentWrites), String(counts.objectWrites), allowed.toFixed(0)],
        ...[String(counts.documentReads), String(counts.objectReads), times(cost.logBytesWritten, cost.logBytes)],
        ...[String(cost.logObjects), String(cost.busiest.writes)],
        `${cost.cloudLog.entries} entries, ${kb(cost.cloudLog.bytes)}`,
        older === undefined ? "–" : `${older.objectWrites}, ${older.bytes}, ${older.reads}`,
      ];
    }),
  ];
}

const kb = (bytes: number): string => `${(bytes / 1000).toFixed(0)} kB`;
