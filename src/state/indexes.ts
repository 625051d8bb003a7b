/**
 * The queries that records are read by, in one place: SQLite makes an index of each, Firestore a composite index. A query
 * with several equalities is served by merging those that share their last field, which is read in descending order.
 */
export interface RecordIndex {
  readonly collection: string;
  /** Equality fields first, then the one that orders. */
  readonly fields: readonly string[];
}

const index = (collection: string, ...fields: string[]): RecordIndex => ({ collection, fields });

export const RECORD_INDEXES: readonly RecordIndex[] = [
  index("runs", "number"),
  index("runs", "createdAt"),
  index("runs", "status", "number"),
  index("runs", "verb", "number"),
  index("runs", "workspace", "number"),
  index("runs", "requester.id", "number"),
  index("run-numbers", "number"),
  index("idempotency", "expiresAtMs"),
];

/** The index that serves a query best: ordered as it, with as many of its equalities as there are. */
export function indexFor(collection: string, where: readonly string[], orderBy: string): RecordIndex | undefined {
  const serving = RECORD_INDEXES.filter(
    (candidate) =>
      candidate.collection === collection &&
      candidate.fields.at(-1) === orderBy &&
      candidate.fields.slice(0, -1).every((field) => where.includes(field)),
  );
  return serving.sort((a, b) => b.fields.length - a.fields.length)[0];
}
