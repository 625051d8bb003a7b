/**
 * The queries that records are read by, in one place: SQLite makes an index of each, Firestore a composite index. A query
 * with several equalities is served by merging those that share their last field.
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
