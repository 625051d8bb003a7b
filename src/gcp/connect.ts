/** The clients that State on Google Cloud is made of, connected as the environment of the process says. */
import { createAccessTokens } from "./auth.ts";
import { findSigner } from "./find-signer.ts";
import { connectFirestore, type FirestoreClient } from "./firestore.ts";
import { createRest } from "./rest.ts";
import type { RetryPolicy } from "./retry.ts";
import { createStorage, type Storage } from "./storage.ts";
import type { OnUse } from "./usage.ts";

export interface GcpParams {
  readonly projectId: string;
  readonly bucket: string;
  /** Firestore's; default: `(default)`. */
  readonly database?: string | undefined;
  /** Of the process; `FIRESTORE_EMULATOR_HOST` and `STORAGE_EMULATOR_HOST` lead to emulators. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly now: () => number;
  /** How long a failing service is asked again. */
  readonly retry?: RetryPolicy;
  readonly fetch?: typeof fetch;
  readonly onUse?: OnUse;
}

export interface GcpClients {
  readonly firestore: FirestoreClient;
  readonly storage: Storage;
}

/** Loads what is needed; talks to nobody yet. */
export async function connectGcp(params: GcpParams): Promise<GcpClients> {
  const { projectId, bucket, database, env, home, now, retry, fetch, onUse } = params;
  const common = { ...(retry !== undefined && { retry }), ...(onUse !== undefined && { onUse }) };
  const emulator = baseUrl(env["STORAGE_EMULATOR_HOST"]);
  const send = fetch === undefined ? {} : { fetch };
  const tokens = emulator === undefined ? { tokens: createAccessTokens({ env, home, now, ...send }) } : {};
  const rest = createRest({ ...tokens, ...send, ...common });
  const storage = createStorage({
    ...{ rest, bucket, now, ...common, ...(emulator !== undefined && { baseUrl: emulator }) },
    findSigner: () => findSigner({ env, home, now, rest, ...send }),
  });
  const emulatorHost = present(env["FIRESTORE_EMULATOR_HOST"]);
  return { storage, firestore: await connectFirestore({ projectId, database, emulatorHost, ...common }) };
}

const present = (value: string | undefined): string | undefined => (value === "" ? undefined : value);

/** Google's tools take the emulator's address with and without a scheme. */
function baseUrl(host: string | undefined): string | undefined {
  const value = present(host)?.replace(/\/+$/, "");
  if (value === undefined) return undefined;
  return /^https?:\/\//.test(value) ? value : `http://${value}`;
}
