/** The database's schema: its version, the steps to it, and the refusal of what is newer than this program. */
import type { DatabaseSync } from "node:sqlite";
import { AppError } from "../../core/errors.ts";
import { RECORD_INDEXES, type RecordIndex } from "../indexes.ts";
import { checkCollection, checkField } from "../names.ts";
import { corrupt } from "./errors.ts";

/** Step n leads from version n to n + 1. Never change one that was released: add another. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE records (
     collection TEXT NOT NULL,
     key TEXT NOT NULL,
     version INTEGER NOT NULL,
     data TEXT NOT NULL,
     PRIMARY KEY (collection, key)
   );
   -- Counts the writes of each collection: a record's version is the count at its last write.
   CREATE TABLE collections (name TEXT PRIMARY KEY, changes INTEGER NOT NULL) WITHOUT ROWID;`,
];

export const SCHEMA_VERSION = MIGRATIONS.length;

/** The SQL of a field, spelt alike in index and query so that SQLite matches them. */
export function fieldSql(field: string): string {
  return `json_extract(data, '$.${checkField(field)}')`;
}

/** The SQL of a collection; a literal, since an index with a condition is not matched by a parameter. */
export function collectionSql(collection: string): string {
  return `collection = '${checkCollection(collection)}'`;
}

export const indexName = (index: RecordIndex): string => `${index.collection}:${index.fields.join(",")}`;

function indexSql(index: RecordIndex): string {
  const fields = index.fields.map(fieldSql).join(", ");
  return `CREATE INDEX "${indexName(index)}" ON records (${fields}, key) WHERE ${collectionSql(index.collection)}`;
}

/** Reads the schema's version from a database. */
export function schemaVersion(db: DatabaseSync): number {
  const version = db.prepare("PRAGMA user_version").get()?.["user_version"];
  return typeof version === "number" ? version : 0;
}

function missingIndexes(db: DatabaseSync): RecordIndex[] {
  const names = new Set(
    db
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'index'")
      .all()
      .map((row) => row["name"]),
  );
  return RECORD_INDEXES.filter((index) => !names.has(indexName(index)));
}

/** Brings a database to this program's schema; throws `state_schema` where it is newer. Safe in several processes at once. */
export function migrate(db: DatabaseSync, path: string): void {
  const found = schemaVersion(db);
  if (found > SCHEMA_VERSION) {
    throw new AppError(
      "state_schema",
      `${path} has schema version ${found}; this dbt-server knows versions up to ${SCHEMA_VERSION}.`,
      { hint: "Use the newer dbt-server that wrote it, or another folder with --data-dir." },
    );
  }
  if (found === SCHEMA_VERSION && missingIndexes(db).length === 0) return;
  db.exec("BEGIN IMMEDIATE");
  try {
    if (schemaVersion(db) === 0 && db.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() !== undefined) {
      throw corrupt(path, "it is a database of another program");
    }
    // Read again: another process may have been faster.
    for (const step of MIGRATIONS.slice(schemaVersion(db))) db.exec(step);
    for (const index of missingIndexes(db)) db.exec(indexSql(index));
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}
