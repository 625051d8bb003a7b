/** The typed client of `/api/v1/`; its types are the schemas', its validation the server's. */
import { type ClientOptions, createHttp } from "./http.ts";
import type { LogEvent } from "./log-events.ts";
import { type LogStreamOptions, logStream } from "./log-stream.ts";
import { headers, paths } from "./paths.ts";
import type { LogAnswer, LogQuery } from "./schemas/logs.ts";
import type {
  ArtifactList,
  CancelRequest,
  RunAnswer,
  RunList,
  RunListQuery,
  RunRequest,
  RunView,
} from "./schemas/runs.ts";
import type { ServerAnswer, ServerProof } from "./schemas/server.ts";
import type { PackAnswer, SnapshotAnswer, SnapshotRequest, UploadAnswer } from "./schemas/snapshots.ts";

/** A request that may be given up; it then rejects with the signal's reason. */
export interface Abortable {
  readonly signal?: AbortSignal | undefined;
}

export interface UploadPart {
  readonly offset: number;
  /** Size of the whole content. */
  readonly total: number;
  readonly bytes: Uint8Array;
}

/** One method a route. Each rejects with an AppError that carries the server's code, message and hint. */
export interface Client {
  readonly baseUrl: string;
  /** Goes without token and names: whoever answers is not known yet. */
  proof(nonce: string): Promise<ServerProof>;
  /** `versionText` is dbt's own block, which takes a start of dbt to get. */
  server(options?: { readonly versionText?: boolean }): Promise<ServerAnswer>;
  putSnapshot(id: string, request: SnapshotRequest, options?: Abortable): Promise<SnapshotAnswer>;
  postPack(pack: Uint8Array, options?: Abortable): Promise<PackAnswer>;
  /** How much of a large content the server has. */
  uploaded(sha256: string, options?: Abortable): Promise<UploadAnswer>;
  /** Never repeated by itself: after a lost answer the server's offset tells what arrived. */
  sendPart(sha256: string, part: UploadPart, options?: Abortable): Promise<UploadAnswer>;
  postRun(request: RunRequest, idempotencyKey: string, options?: Abortable): Promise<RunAnswer>;
  runs(query?: RunListQuery): Promise<RunList>;
  run(ref: string, options?: Abortable): Promise<RunView>;
  cancel(ref: string, request?: CancelRequest): Promise<RunView>;
  log(ref: string, query: LogQuery, options?: Abortable): Promise<LogAnswer>;
  logStream(ref: string, options: LogStreamOptions): AsyncGenerator<LogEvent>;
  artifacts(ref: string): Promise<ArtifactList>;
  /** A tar.gz of everything that the run made or changed. */
  artifactPack(ref: string, options?: Abortable): Promise<AsyncIterable<Uint8Array>>;
}

function queryOf(values: Readonly<Record<string, unknown>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) query.set(name, String(value));
  return query.size === 0 ? "" : `?${query}`;
}

export function createClient(options: ClientOptions): Client {
  const http = createHttp(options);
  return {
    baseUrl: http.baseUrl,
    proof: (nonce) => http.json("GET", paths.proof + queryOf({ nonce }), { anonymous: true }),
    server: (options = {}) => http.json("GET", paths.server + queryOf(options)),
    putSnapshot: (id, json, { signal } = {}) => http.json("PUT", paths.snapshot(id), { json, signal }),
    postPack: (bytes, { signal } = {}) => http.json("POST", paths.packs, { bytes, signal }),
    uploaded: (sha256, { signal } = {}) => http.json("GET", paths.content(sha256), { signal }),
    sendPart: (sha256, { offset, total, bytes }, { signal } = {}) =>
      http.json("PATCH", paths.content(sha256), {
        bytes,
        signal,
        headers: { "content-range": `bytes ${offset}-${offset + bytes.length - 1}/${total}` },
        repeatable: false,
      }),
    postRun: (json, key, { signal } = {}) =>
      http.json("POST", paths.runs, { json, signal, headers: { [headers.idempotencyKey]: key } }),
    runs: (query = {}) => http.json("GET", paths.runs + queryOf(query)),
    run: (ref, { signal } = {}) => http.json("GET", paths.run(ref), { signal }),
    cancel: (ref, json = {}) => http.json("POST", paths.cancel(ref), { json }),
    log: (ref, query, { signal } = {}) =>
      http.json("GET", paths.log(ref) + queryOf(query), { signal, repeatable: false }),
    logStream: (ref, streamOptions) => logStream(http, ref, streamOptions),
    artifacts: (ref) => http.json("GET", paths.artifacts(ref)),
    artifactPack: async (ref, { signal } = {}) => {
      const response = await http.send("GET", paths.artifactPack(ref), { signal, accept: "*/*", mayBeElsewhere: true });
      return response.body ?? (async function* () {})();
    },
  };
}
