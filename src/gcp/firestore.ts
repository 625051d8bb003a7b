/**
 * Firestore's own client, which alone can listen to changes. It is loaded when it is first needed: it is large, and
 * neither the CLI nor State on one machine has any use for it.
 */
import type { Firestore } from "@google-cloud/firestore";
import { AppError } from "../core/errors.ts";
import { createOutageWatch } from "./outage.ts";
import { PATIENT, RetryLater, type RetryPolicy, withRetries } from "./retry.ts";
import type { GoogleUse, OnUse } from "./usage.ts";

export interface FirestoreParams {
  readonly projectId: string;
  /** Default: `(default)`. */
  readonly database?: string | undefined;
  /** `HOST:PORT` of an emulator, which takes no credentials. */
  readonly emulatorHost?: string | undefined;
  readonly retry?: RetryPolicy;
  readonly onUse?: OnUse;
}

type Library = typeof import("@google-cloud/firestore");

/** An operation on documents, for messages and for counting. */
export interface Operation {
  readonly kind: GoogleUse["kind"];
  readonly operation: string;
  readonly name: string;
  readonly bytes?: number;
}

export interface FirestoreClient {
  readonly db: Firestore;
  /** What of the library its callers need at run time. */
  readonly library: Pick<Library, "FieldPath" | "FieldValue" | "Timestamp">;
  /**
   * Does something with the database, again where that helps. What the database answers (see `codeOf`) is thrown as it
   * is where `isAnswer` knows it, every failure as `AppError`. An action may be carried out twice.
   */
  run<T>(operation: Operation, action: () => Promise<T>, isAnswer?: (error: unknown) => boolean): Promise<T>;
  /** Counts documents that a listener or a query brought. */
  count(operation: Operation): void;
  /** Calls back when the database answers again after it did not. Returns how to end that. */
  onRecovered(callback: () => void): () => void;
  close(): Promise<void>;
}

/** An answer that takes longer counts as lost. */
const TIMEOUT_MS = 15_000;

/** A document that need not be there. */
const PROBE = "dbt-remote-probe/probe";

/** gRPC's codes that are used here. */
export const CODES = {
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

const PASSING: ReadonlySet<unknown> = new Set([
  CODES.deadlineExceeded,
  CODES.resourceExhausted,
  CODES.aborted,
  CODES.internal,
  CODES.unavailable,
]);

const isOutOfReach = (error: unknown): boolean =>
  error instanceof RetryLater || codeOf(error) === CODES.unavailable || codeOf(error) === CODES.deadlineExceeded;

/** The gRPC code of an error, undefined where it has none. */
export function codeOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "number" ? error.code : undefined;
}

/** Loads the library and makes a client; nothing is connected before it is used. */
export async function connectFirestore(params: FirestoreParams): Promise<FirestoreClient> {
  const { projectId, database, emulatorHost, retry = PATIENT, onUse } = params;
  const library = await loadLibrary();
  const db = new library.Firestore({
    projectId,
    ...(database !== undefined && { databaseId: database }),
    ...(emulatorHost !== undefined && {
      host: emulatorHost,
      ssl: false,
      customHeaders: { Authorization: "Bearer owner" },
      // Used by nobody; without any, the library asks a metadata server that is not there.
      credentials: { client_email: "emulator", private_key: "none" },
    }),
    // Left to itself, gRPC waits up to two minutes before it tries a server again that was out of reach.
    "grpc.initial_reconnect_backoff_ms": 500,
    "grpc.max_reconnect_backoff_ms": 1_000,
    // Notices a connection that has gone without a word.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
  });
  const count = ({ kind, operation, name, bytes = 0 }: Operation): void =>
    onUse?.({ service: "firestore", kind, operation, name, bytes });
  const outage = createOutageWatch(() => db.doc(PROBE).get());

  return {
    db,
    library,
    count,
    async run(operation, action, isAnswer = () => false) {
      const isRetryable = (error: unknown): boolean =>
        !isAnswer(error) && (error instanceof RetryLater || PASSING.has(codeOf(error)));
      try {
        return await withRetries(retry, isRetryable, async () => {
          count(operation);
          try {
            return await inTime(action());
          } catch (error) {
            if (isOutOfReach(error)) outage.failed();
            throw error;
          }
        });
      } catch (error) {
        if (isAnswer(error)) throw error;
        throw failure(operation, error instanceof RetryLater ? error.cause : error, params);
      }
    },
    onRecovered: outage.onRecovered,
    close() {
      outage.close();
      stopAttempts(db);
      return db.terminate();
    },
  };
}

async function loadLibrary(): Promise<Library> {
  try {
    return await import("@google-cloud/firestore");
  } catch (cause) {
    throw new AppError("state_unavailable", "State on Google Cloud needs the package @google-cloud/firestore.", {
      hint: "Install it beside dbt-remote: npm install @google-cloud/firestore@8",
      cause,
    });
  }
}

/**
 * Behind an outage the library goes on for minutes with attempts that nobody waits for, and after its end it would fail
 * them where nobody can catch it: they fail here.
 */
function stopAttempts(db: object): void {
  const { _clientPool: pool } = db as { _clientPool?: { run?: unknown } };
  if (typeof pool?.run !== "function") return;
  pool.run = () => {
    const failed = Promise.reject(new Error("The client of Firestore was closed."));
    failed.catch(() => undefined);
    return failed;
  };
}

async function inTime<T>(action: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new RetryLater(new Error(`no answer for ${TIMEOUT_MS / 1000} s`))), TIMEOUT_MS);
  });
  try {
    return await Promise.race([action, late]);
  } finally {
    clearTimeout(timer);
  }
}

function failure(
  operation: Operation,
  error: unknown,
  { projectId, database = "(default)" }: FirestoreParams,
): AppError {
  if (error instanceof AppError) return error;
  const why = error instanceof Error ? error.message : String(error);
  const doing = `${operation.operation} ${operation.name}`;
  switch (codeOf(error)) {
    case CODES.permissionDenied:
      return new AppError("forbidden", `Firestore refused to ${doing}: ${why}`, {
        hint: `Grant the service account that this runs as: roles/datastore.user on the project ${projectId}`,
        cause: error,
      });
    case CODES.notFound:
      return new AppError("state_unavailable", `Firestore has no database ${database} in ${projectId}: ${why}`, {
        hint: `Make it: gcloud firestore databases create --project=${projectId} --database='${database}' --location=REGION`,
        cause: error,
      });
    case CODES.failedPrecondition:
      return new AppError("state_unavailable", `Firestore could not ${doing}: ${why}`, {
        hint: "Where it misses an index: deploy those of deploy/firestore.indexes.json.",
        cause: error,
      });
    case CODES.unauthenticated:
      return new AppError("state_unavailable", `Firestore did not accept the credentials: ${why}`, {
        hint: "Check the service account this runs as; on your own machine: gcloud auth application-default login",
        cause: error,
      });
    default:
      return new AppError("state_unavailable", `Firestore could not ${doing}: ${why}`, { cause: error });
  }
}
