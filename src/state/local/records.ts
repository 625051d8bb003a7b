/** Records as JSON documents in SQLite. */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { AppError } from "../../core/errors.ts";
import { indexFor } from "../indexes.ts";
import { checkCollection, checkKey } from "../names.ts";
import type { RecordQuery, RecordStore, StoredRecord } from "../port.ts";
import type { Changes } from "./changes.ts";
import { atEdge, corrupt } from "./errors.ts";
import { collectionSql, fieldSql, indexName } from "./schema.ts";

/** Firestore's limit, less what it counts for names. */
const MAX_RECORD_BYTES = 1_000_000;

type Where = NonNullable<RecordQuery["where"]>[string];

export function createRecords(db: DatabaseSync, path: string, changes: Changes): RecordStore {
  const select = db.prepare("SELECT key, version, data FROM records WHERE collection = ? AND key = ?");
  const count = db.prepare(
    `INSERT INTO collections VALUES (?, 1)
     ON CONFLICT (name) DO UPDATE SET changes = changes + 1 RETURNING changes`,
  );
  const insert = db.prepare("INSERT INTO records (collection, key, version, data) VALUES (?, ?, ?, ?)");
  const update = db.prepare("UPDATE records SET version = ?, data = ? WHERE collection = ? AND key = ?");
  const remove = db.prepare("DELETE FROM records WHERE collection = ? AND key = ?");
  const queries = new Map<string, StatementSync>();

  function parse<T extends object>(collection: string, row: Record<string, unknown>): StoredRecord<T> {
    const key = String(row["key"]);
    try {
      return { key, version: String(row["version"]), data: JSON.parse(String(row["data"])) as T };
    } catch (error) {
      throw corrupt(path, `record ${collection}/${key} is no JSON`, error);
    }
  }

  function find<T extends object>(collection: string, key: string): StoredRecord<T> | undefined {
    const row = select.get(checkCollection(collection), checkKey(key));
    return row === undefined ? undefined : parse<T>(collection, row);
  }

  /** One write under the lock of the database; undefined is "nothing changed". */
  function write<R>(collection: string, key: string, action: (nextVersion: () => number) => R): R {
    checkCollection(collection);
    checkKey(key);
    let changed = false;
    db.exec("BEGIN IMMEDIATE");
    let result: R;
    try {
      result = action(() => {
        changed = true;
        return Number(count.get(collection)?.["changes"]);
      });
      db.exec("COMMIT");
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw error;
    }
    if (changed) changes.ring();
    return result;
  }

  function serialize(collection: string, key: string, data: object): string {
    const text = JSON.stringify(data);
    if (Buffer.byteLength(text) > MAX_RECORD_BYTES) {
      throw new AppError("too_large", `Record ${collection}/${key} is larger than ${MAX_RECORD_BYTES} bytes.`);
    }
    return text;
  }

  const edge = <T>(doing: string, action: () => T): Promise<T> => atEdge(doing, path, action);

  return {
    create: <T extends object>(collection: string, key: string, data: T) =>
      edge("creating a record", () => {
        const text = serialize(collection, key, data);
        return write(collection, key, (nextVersion): StoredRecord<T> | undefined => {
          if (select.get(collection, key) !== undefined) return undefined;
          const version = nextVersion();
          insert.run(collection, key, version, text);
          return { key, data, version: String(version) };
        });
      }),
    get: <T extends object>(collection: string, key: string) =>
      edge("reading a record", () => find<T>(collection, key)),
    replace: <T extends object>(collection: string, key: string, data: T, ifVersion: string) =>
      edge("replacing a record", () => {
        const text = serialize(collection, key, data);
        return write(collection, key, (nextVersion): StoredRecord<T> | undefined => {
          const version = select.get(collection, key)?.["version"];
          if (version === undefined || String(version) !== ifVersion) return undefined;
          const next = nextVersion();
          update.run(next, text, collection, key);
          return { key, data, version: String(next) };
        });
      }),
    put: (collection, key, data) =>
      edge("writing a record", () => {
        const text = serialize(collection, key, data);
        write(collection, key, (nextVersion) => {
          const version = nextVersion();
          const { changes: updated } = update.run(version, text, collection, key);
          if (Number(updated) === 0) insert.run(collection, key, version, text);
        });
      }),
    remove: (collection, key, ifVersion) =>
      edge("removing a record", () =>
        write(collection, key, (nextVersion) => {
          const version = select.get(collection, key)?.["version"];
          if (version === undefined || (ifVersion !== undefined && String(version) !== ifVersion)) return false;
          nextVersion();
          remove.run(collection, key);
          return true;
        }),
      ),
    list: <T extends object>(collection: string, query: RecordQuery = {}) =>
      edge("listing records", () => {
        const { sql, values } = listSql(collection, query);
        let statement = queries.get(sql);
        if (statement === undefined) {
          statement = db.prepare(sql);
          queries.set(sql, statement);
        }
        return statement.all(...values).map((row) => parse<T>(collection, row));
      }),
    watch: (collection, key, onChange) => changes.watch(checkCollection(collection), checkKey(key), onChange),
    watchAll: (collection, onChange) => changes.watchAll(checkCollection(collection), onChange),
  };
}

/** The statement of a query; equal shapes make equal statements. */
export function listSql(collection: string, query: RecordQuery): { sql: string; values: SQLInputValue[] } {
  const conditions = [collectionSql(collection)];
  const values: SQLInputValue[] = [];
  for (const [field, value] of Object.entries(query.where ?? {})) {
    conditions.push(...equals(field, value));
    if (typeof value === "string" || typeof value === "number") values.push(value);
  }
  const order = query.orderBy === undefined ? "key" : fieldSql(query.orderBy);
  const descending = query.direction === "descending";
  if (descending && query.orderBy === undefined)
    throw new AppError("bad_argument", "Keys are listed in ascending order.");
  if (query.orderBy !== undefined) conditions.push(`${typeSql(query.orderBy)} IS NOT NULL`);
  if (query.after !== undefined) {
    conditions.push(`${order} ${descending ? "<" : ">"} ?`);
    values.push(query.after);
  }
  const direction = descending ? "DESC" : "ASC";
  const orders = query.orderBy === undefined ? ["key"] : [`${order} ${direction}`, `key ${direction}`];
  values.push(query.limit ?? -1);
  const fields = Object.keys(query.where ?? {});
  const index = query.orderBy === undefined ? undefined : indexFor(collection, fields, query.orderBy);
  // Said, for SQLite would take the primary key and sort all of the collection.
  const by = index === undefined ? "" : ` INDEXED BY "${indexName(index)}"`;
  const sql = `SELECT key, version, data FROM records${by} WHERE ${conditions.join(" AND ")} ORDER BY ${orders.join(", ")} LIMIT ?`;
  return { sql, values };
}

const typeSql = (field: string): string => fieldSql(field).replace("json_extract", "json_type");

function equals(field: string, value: Where): string[] {
  if (value === null) return [`${typeSql(field)} = 'null'`];
  // SQLite reads booleans as 0 and 1.
  if (typeof value === "boolean") return [`${fieldSql(field)} = ${value ? 1 : 0}`, `${typeSql(field)} = '${value}'`];
  const types = typeof value === "string" ? "('text')" : "('integer', 'real')";
  return [`${fieldSql(field)} = ?`, `${typeSql(field)} IN ${types}`];
}
