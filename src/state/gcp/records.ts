/** Records as documents in Firestore. */
import type { DocumentReference, DocumentSnapshot, Query, Timestamp } from "@google-cloud/firestore";
import { AppError } from "../../core/errors.ts";
import { CODES, codeOf, type FirestoreClient } from "../../gcp/firestore.ts";
import { checkCollection, checkField, checkKey } from "../names.ts";
import type { RecordQuery, RecordStore, StoredRecord } from "../port.ts";
import { createBells } from "./bells.ts";
import {
  collectionId,
  FIELDS,
  forgetAtMs,
  formatVersion,
  newWrite,
  nextWrites,
  parseVersion,
  queriedFields,
  serialize,
} from "./documents.ts";
import { createListeners, type Listeners } from "./listeners.ts";

/** Records, and their listeners for those who want to see what changed. */
export interface GcpRecords extends RecordStore {
  /** Calls back with the record as it is, soon and at every change; undefined where there is none. */
  listen<T extends object>(
    collection: string,
    key: string,
    onValue: (record: StoredRecord<T> | undefined) => void,
  ): () => void;
  close(): Promise<void>;
}

const isExisting = (error: unknown): boolean => codeOf(error) === CODES.alreadyExists;

/** The record is absent, or not as the precondition says. That the whole database is absent has the same code. */
function isMismatch(error: unknown): boolean {
  const code = codeOf(error);
  if (code === CODES.failedPrecondition) return !/requires an index/i.test(messageOf(error));
  return code === CODES.notFound && !/The database .* does not exist/i.test(messageOf(error));
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : "");

export function createRecords(client: FirestoreClient): GcpRecords {
  const { db } = client;
  const { FieldPath, FieldValue, Timestamp } = client.library;
  const bells = createBells(client);
  const documents = createListeners<DocumentSnapshot>((path, onValue, onError) =>
    db.doc(path).onSnapshot((snapshot) => {
      client.count({ kind: "read", operation: "listen", name: path });
      onValue(snapshot);
    }, onError),
  );
  const newest: Listeners<void> = createListeners((collection, onValue, onError) =>
    // Each write makes another record the newest: one listener that never reads more than one document.
    db
      .collection(collectionId(collection))
      .orderBy(FIELDS.writtenAt, "desc")
      .limit(1)
      .onSnapshot((found) => {
        client.count({ kind: "read", operation: "listen", name: collection, bytes: found.size });
        onValue();
      }, onError),
  );

  const stopRestarting = client.onRecovered(() => {
    documents.restart();
    newest.restart();
  });

  const pathOf = (collection: string, key: string): string =>
    `${collectionId(checkCollection(collection))}/${checkKey(key)}`;
  const referenceOf = (collection: string, key: string): DocumentReference => db.doc(pathOf(collection, key));

  function body(collection: string, data: object, json: string, writes: readonly string[]) {
    const forget = forgetAtMs(data);
    return {
      ...(forget !== undefined && { [FIELDS.expireAt]: Timestamp.fromMillis(forget) }),
      [FIELDS.json]: json,
      [FIELDS.queried]: queriedFields(collection, data),
      [FIELDS.writes]: writes,
      [FIELDS.writtenAt]: FieldValue.serverTimestamp(),
    };
  }

  async function find(reference: DocumentReference): Promise<DocumentSnapshot> {
    return client.run({ kind: "read", operation: "get", name: reference.path }, () => reference.get());
  }

  /** A write that was refused: perhaps by itself, where an earlier attempt was carried out and its answer lost. */
  async function ownOrNot<T>(
    reference: DocumentReference,
    data: T,
    ownWrite: string,
  ): Promise<StoredRecord<T> | undefined> {
    const found = await find(reference);
    const writes = writesOf(found);
    if (!writes.includes(ownWrite)) return undefined;
    // Where another has written since, the version is one that nothing matches any more.
    const version = writes[0] === ownWrite ? versionOf(found) : "";
    return { key: reference.id, data, version };
  }

  function timeOf(version: string) {
    const { seconds, nanoseconds } = parseVersion(version);
    return new Timestamp(seconds, nanoseconds);
  }

  async function write<T extends object>(params: {
    readonly operation: "create" | "replace" | "put";
    readonly collection: string;
    readonly key: string;
    readonly data: T;
    readonly ifVersion?: string;
  }): Promise<StoredRecord<T> | undefined> {
    const { operation, collection, key, data, ifVersion = "" } = params;
    const reference = referenceOf(collection, key);
    const json = serialize(collection, key, data);
    const ownWrite = newWrite();
    const writes = nextWrites(ownWrite, operation === "replace" ? parseVersion(ifVersion).writes : []);
    const content = body(collection, data, json, writes);
    const action = {
      create: () => reference.create(content),
      replace: () => reference.update(content, { lastUpdateTime: timeOf(ifVersion) }),
      put: () => reference.set(content),
    }[operation];
    const isAnswer = { create: isExisting, replace: isMismatch, put: () => false }[operation];
    try {
      const use = { kind: "write", operation, name: reference.path, bytes: json.length } as const;
      const { writeTime } = await client.run(use, action, isAnswer);
      return { key, data, version: formatVersion({ ...pick(writeTime), writes }) };
    } catch (error) {
      if (!isAnswer(error)) throw error;
      return ownOrNot(reference, data, ownWrite);
    }
  }

  function queryOf(collection: string, query: RecordQuery): Query {
    const { orderBy, direction = "ascending", after, limit } = query;
    if (direction === "descending" && orderBy === undefined) {
      throw new AppError("bad_argument", "Keys are listed in ascending order.");
    }
    const order = direction === "descending" ? "desc" : "asc";
    const fieldPath = (field: string) => new FieldPath(FIELDS.queried, ...checkField(field).split("."));
    let made: Query = db.collection(collectionId(checkCollection(collection)));
    for (const [field, value] of Object.entries(query.where ?? {})) made = made.where(fieldPath(field), "==", value);
    if (orderBy !== undefined) made = made.orderBy(fieldPath(orderBy), order);
    made = made.orderBy(FieldPath.documentId(), order);
    if (after !== undefined) made = made.startAfter(after);
    return limit === undefined ? made : made.limit(limit);
  }

  return {
    create: async (collection, key, data) => write({ operation: "create", collection, key, data }),
    async get<T extends object>(collection: string, key: string) {
      const found = await find(referenceOf(collection, key));
      return parse<T>(found);
    },
    replace: async (collection, key, data, ifVersion) =>
      write({ operation: "replace", collection, key, data, ifVersion }),
    async put(collection, key, data) {
      await write({ operation: "put", collection, key, data });
    },
    async remove(collection, key, ifVersion) {
      const reference = referenceOf(collection, key);
      const condition = ifVersion === undefined ? { exists: true } : { lastUpdateTime: timeOf(ifVersion) };
      const use = { kind: "delete", operation: "remove", name: reference.path } as const;
      try {
        await client.run(use, () => reference.delete(condition), isMismatch);
      } catch (error) {
        if (!isMismatch(error)) throw error;
        return false;
      }
      bells.ring(collection);
      return true;
    },
    async list<T extends object>(collection: string, query: RecordQuery = {}) {
      const made = queryOf(collection, query);
      const { docs } = await client.run({ kind: "list", operation: "query", name: collection }, () => made.get());
      for (const each of docs) client.count({ kind: "read", operation: "query", name: each.ref.path });
      return docs.flatMap((each) => parse<T>(each) ?? []);
    },
    watch: (collection, key, onChange) => documents.listen(pathOf(collection, key), () => onChange()),
    watchAll(collection, onChange) {
      const name = checkCollection(collection);
      const stops = [
        newest.listen(name, onChange),
        documents.listen(bells.pathOf(name), (bell) => {
          if (bell.exists) onChange();
        }),
      ];
      return () => {
        for (const stop of stops) stop();
      };
    },
    listen<T extends object>(collection: string, key: string, onValue: (record: StoredRecord<T> | undefined) => void) {
      return documents.listen(pathOf(collection, key), (snapshot) => onValue(parse<T>(snapshot)));
    },
    async close() {
      stopRestarting();
      documents.close();
      newest.close();
      await bells.close();
    },
  };
}

const pick = ({ seconds, nanoseconds }: Timestamp) => ({ seconds, nanoseconds });

function writesOf(snapshot: DocumentSnapshot): readonly string[] {
  return snapshot.exists ? ((snapshot.get(FIELDS.writes) ?? []) as string[]) : [];
}

function versionOf(snapshot: DocumentSnapshot): string {
  const { updateTime } = snapshot;
  return updateTime === undefined ? "" : formatVersion({ ...pick(updateTime), writes: writesOf(snapshot) });
}

function parse<T extends object>(snapshot: DocumentSnapshot): StoredRecord<T> | undefined {
  if (!snapshot.exists) return undefined;
  const json: unknown = snapshot.get(FIELDS.json);
  try {
    return { key: snapshot.id, version: versionOf(snapshot), data: JSON.parse(String(json)) as T };
  } catch (cause) {
    throw new AppError("state_corrupt", `The document ${snapshot.ref.path} holds no record.`, {
      hint: "Remove it, and what was made of it.",
      cause,
    });
  }
}
