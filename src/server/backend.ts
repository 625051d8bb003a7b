/** What a server works with, apart from its port: its State, its executor, and what follows from where these are. */

import type { LocalEngine } from "../executors/local-engine.ts";
import type { Executor } from "../executors/port.ts";
import type { WarmParents } from "../executors/warm-parents.ts";
import type { State } from "../state/port.ts";
import type { Stores } from "../state/stores.ts";
import type { GoogleConnections } from "./google-backend.ts";
import type { Journal } from "./journal.ts";
import type { ServerSettings } from "./options.ts";
import type { ServiceParams } from "./service.ts";

export interface Backend
  extends Pick<
    ServiceParams,
    "jobOutput" | "clearRoot" | "warehousePath" | "isAlone" | "tickMs" | "patience" | "checkJob" | "requiredEngine"
  > {
  readonly state: State;
  readonly stores: Stores;
  readonly executor: Executor;
  /** Whether jobs end with this process's machine, so that they have to be told. */
  readonly drains: boolean;
  readonly warm: WarmParents | undefined;
  /** Told once the server listens. */
  listening(url: string): void;
  /** Whether it is this server's turn to remove what is no longer kept. */
  sweepIsDue(): Promise<boolean>;
  close(): Promise<void>;
}

export interface BackendParams {
  readonly settings: ServerSettings;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly journal: Journal;
  /** The dbt of this machine. */
  readonly engine: () => Promise<LocalEngine>;
  readonly now: () => number;
  readonly google: GoogleConnections;
}

/** Loads what the settings ask for, and nothing else. */
export async function openBackend(params: BackendParams): Promise<Backend> {
  const { google } = params.settings;
  if (google === undefined) return (await import("./local-backend.ts")).openLocalBackend(params);
  return (await import("./google-backend.ts")).openGoogleBackend(params, google);
}
