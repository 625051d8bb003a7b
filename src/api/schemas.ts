/**
 * The wire contract of `/api/v1/`: one schema per request and answer. The server validates with them and makes its
 * OpenAPI description of them; the client imports only their types.
 */
import type { Static, TObject, TProperties } from "typebox";
import { FAILURE_REASONS, RUN_STATUSES } from "../core/run.ts";
import { Type } from "./schema-builder.ts";

const strict = { additionalProperties: false } as const;
const object = <P extends TProperties>(properties: P, description?: string): TObject<P> =>
  Type.Object(properties, description === undefined ? strict : { ...strict, description });
const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const literals = <const T extends readonly string[]>(values: T) =>
  Type.Unsafe<T[number]>({ type: "string", enum: [...values] });

const Sha256 = Type.String({ pattern: "^[0-9a-f]{64}$" });
const SnapshotId = Type.String({ pattern: "^v1-[0-9a-f]{64}$" });
const RunId = Type.String({ format: "uuid" });
const Time = Type.String({ description: "ISO 8601, UTC" });
const RelativePath = Type.String({ minLength: 1, maxLength: 4096 });
const Argv = Type.Array(Type.String({ maxLength: 1_048_576 }), { minItems: 1, maxItems: 20_000 });

export const ErrorAnswer = object({
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    hint: Type.Optional(Type.String()),
    details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  }),
});
export type ErrorAnswer = Static<typeof ErrorAnswer>;

export const ServerProof = object({
  /** HMAC-SHA256 in hex, keyed with the token, of the query parameter `nonce`. */
  proof: Type.String(),
});
export type ServerProof = Static<typeof ServerProof>;

export const ServerAnswer = object({
  version: Type.String(),
  state: Type.String(),
  executor: Type.String(),
  auth: Type.String(),
  dbt: nullable(
    object({ version: Type.String(), adapters: Type.Array(Type.String()), versionText: nullable(Type.String()) }),
  ),
  profiles: literals(["client", "server"]),
});
export type ServerAnswer = Static<typeof ServerAnswer>;

const WarmProcess = object({ pid: Type.Integer(), rssBytes: Type.Integer() });
/** Processes that have loaded dbt: the one at hand, and those that only wait for their last runs. */
const WarmParentMetrics = object({
  state: literals(["starting", "ready", "retired"]),
  startedAt: Type.String(),
  stats: nullable(
    object({
      ...WarmProcess.properties,
      /** All that can be prepared for runs is. */
      isWarm: Type.Boolean(),
      /** Runs up to now, and those of them that began with their project's manifest in memory. */
      forked: Type.Integer(),
      handed: Type.Integer(),
      runs: Type.Array(WarmProcess),
      /** Each keeps one project's manifest in memory. */
      holders: Type.Array(
        object({
          pid: Type.Integer(),
          parseState: Type.String(),
          isReady: Type.Boolean(),
          /** What can be computed from it before there is a run is, too. */
          isPrepared: Type.Boolean(),
          /** The parse state on disk is still the one that it has read. */
          isCurrent: Type.Boolean(),
          running: Type.Integer(),
          privateBytes: Type.Integer(),
        }),
      ),
    }),
  ),
});

export const MetricsAnswer = object({
  rssBytes: Type.Integer(),
  /** Readers that follow a log now. */
  followers: Type.Integer(),
  warm: Type.Array(WarmParentMetrics),
});
export type MetricsAnswer = Static<typeof MetricsAnswer>;

export const SnapshotMode = literals(["100644", "100755", "120000"]);
/** [path, mode, sha256, size in bytes] */
export const SnapshotEntryRow = Type.Unsafe<[string, "100644" | "100755" | "120000", string, number]>({
  type: "array",
  prefixItems: [{ type: "string" }, { type: "string" }, { type: "string" }, { type: "integer" }],
  minItems: 4,
  maxItems: 4,
});
export const SnapshotRequest = object({
  /** An earlier snapshot that `remove` and `put` start from; without it `put` is the whole tree. */
  base: Type.Optional(SnapshotId),
  remove: Type.Optional(Type.Array(RelativePath)),
  put: Type.Array(SnapshotEntryRow),
});
export type SnapshotRequest = Static<typeof SnapshotRequest>;

export const SnapshotAnswer = object({
  id: SnapshotId,
  /** Contents to send before the snapshot can be run, in packs or, for large ones, in parts. */
  missing: Type.Array(Sha256),
});
export type SnapshotAnswer = Static<typeof SnapshotAnswer>;

export const PackAnswer = object({ stored: Type.Integer() });
export type PackAnswer = Static<typeof PackAnswer>;

export const UploadAnswer = object({ offset: Type.Integer(), complete: Type.Boolean() });
export type UploadAnswer = Static<typeof UploadAnswer>;

export const RunInputSchema = object({ path: RelativePath, sha256: Sha256, size: Type.Integer({ minimum: 0 }) });

export const EnvelopeSchema = object({
  profiles: Type.Optional(nullable(Type.String({ maxLength: 1_048_576 }))),
  env: Type.Optional(Type.Record(Type.String(), Type.String())),
  dotenv: Type.Optional(Type.Record(Type.String(), Type.String())),
  secretNames: Type.Optional(Type.Array(Type.String())),
  files: Type.Optional(
    Type.Array(object({ name: Type.String({ maxLength: 255 }), contentBase64: Type.String() }), { maxItems: 50 }),
  ),
});

export const RunRequest = object({
  /** What was typed after `dbt-remote`, without dbt-remote's own options, such as `["run", "-s", "orders"]`. */
  command: Argv,
  /** What dbt gets, where it differs: paths relative to the project's folder, or `@outside/<id>/…`. */
  args: Type.Optional(Argv),
  mode: Type.Optional(literals(["project", "manifest"])),
  /** The project, as a snapshot that was sent before … */
  snapshotId: Type.Optional(SnapshotId),
  /** … or with the request itself, for small clients. */
  files: Type.Optional(
    Type.Array(object({ path: RelativePath, contentBase64: Type.String() }), { minItems: 1, maxItems: 5_000 }),
  ),
  /** The project's folder in the snapshot. */
  projectDir: Type.Optional(Type.String({ maxLength: 4096 })),
  workspace: Type.Optional(
    object({
      /** A name of the requester's choice; runs that give the same name share the workspace. */
      name: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
      /** Stands for the requester's checkout where there is no name. */
      checkout: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
    }),
  ),
  envelope: Type.Optional(EnvelopeSchema),
  inputs: Type.Optional(Type.Array(RunInputSchema, { maxItems: 100 })),
  options: Type.Optional(
    object({
      timeoutMs: Type.Optional(nullable(Type.Integer({ minimum: 1 }))),
      cancelOnDisconnectMs: Type.Optional(nullable(Type.Integer({ minimum: 1000 }))),
      elementary: Type.Optional(Type.Boolean()),
      jobProfile: Type.Optional(nullable(Type.String({ maxLength: 200 }))),
    }),
  ),
  /** Refuse with `workspace_busy` instead of waiting for another run. */
  noWait: Type.Optional(Type.Boolean()),
});
export type RunRequest = Static<typeof RunRequest>;

const DbtFinishedSchema = object({
  exitCode: Type.Integer(),
  dbtOffset: Type.Integer(),
  targetPack: Type.Boolean(),
  at: Time,
});

export const RunView = object({
  id: RunId,
  number: Type.Integer(),
  status: literals(RUN_STATUSES),
  reason: nullable(literals(FAILURE_REASONS)),
  message: nullable(Type.String()),
  exitCode: nullable(Type.Integer()),
  command: Type.Array(Type.String()),
  verb: Type.String(),
  access: literals(["read", "write"]),
  requester: Type.String(),
  workspace: Type.String(),
  workspaceName: nullable(Type.String()),
  snapshotId: Type.String(),
  mode: literals(["project", "manifest"]),
  target: nullable(Type.String()),
  /** Which profile is used: the client's, one that lives on the server, or none. */
  profileFrom: literals(["client", "server", "none"]),
  /** Path of the warehouse file that a relative path in the profile means on the server, where there is one. */
  warehouseFile: nullable(Type.String()),
  envNames: Type.Array(Type.String()),
  dbtVersion: nullable(Type.String()),
  createdAt: Time,
  startedAt: nullable(Time),
  dbtFinished: nullable(DbtFinishedSchema),
  finishedAt: nullable(Time),
  cancelRequestedAt: nullable(Time),
  logSize: nullable(Type.Integer()),
  /** While pending: the id of the run that has to end first. */
  waitingFor: nullable(Type.String()),
  warnings: Type.Array(Type.String()),
  /** Whether an Elementary report is made behind dbt's own work. */
  elementary: Type.Boolean(),
  /** Where it runs as an execution of a Cloud Run Job: that one's full name, and where Google shows it and its log. */
  execution: nullable(object({ name: Type.String(), consoleUrl: Type.String(), logUrl: Type.String() })),
  links: object({
    self: Type.String(),
    log: Type.String(),
    events: Type.String(),
    artifacts: Type.String(),
    cancel: Type.String(),
    /** Its entries in Google Cloud's log, where it makes some. */
    cloudLog: nullable(Type.String()),
  }),
});
export type RunView = Static<typeof RunView>;

export const RunAnswer = object({
  run: RunView,
  /** False where the idempotency key stood for a run that was there already. */
  created: Type.Boolean(),
});
export type RunAnswer = Static<typeof RunAnswer>;

export const ReconcileAnswer = object({ running: Type.Integer(), pending: Type.Integer() });
export type ReconcileAnswer = Static<typeof ReconcileAnswer>;

export const RunListQuery = object({
  status: Type.Optional(literals(RUN_STATUSES)),
  verb: Type.Optional(Type.String()),
  since: Type.Optional(Time),
  until: Type.Optional(Time),
  /** Checkout or name of the workspace, as in `RunRequest.workspace`. */
  checkout: Type.Optional(Type.String()),
  workspaceName: Type.Optional(Type.String()),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
  /** Runs with a smaller number only: the next page. */
  before: Type.Optional(Type.Integer()),
});
export type RunListQuery = Static<typeof RunListQuery>;

export const RunList = object({ runs: Type.Array(RunView), nextBefore: nullable(Type.Integer()) });
export type RunList = Static<typeof RunList>;

export const LogQuery = object({
  /** Byte offset to read from; `Last-Event-ID` wins over it. */
  offset: Type.Optional(Type.Integer({ minimum: 0 })),
  /** JSON and plain text: wait for more, up to this many ms, where there is nothing yet. */
  waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 30_000 })),
  maxBytes: Type.Optional(Type.Integer({ minimum: 1, maximum: 4_194_304 })),
});
export type LogQuery = Static<typeof LogQuery>;

const LogSegmentSchema = object({
  channel: literals(["out", "err", "job"]),
  timeMs: Type.Integer(),
  /** base64 */
  bytes: Type.String(),
});
/** Answer of the log route as JSON, and data of its SSE event `log` (whose `id` is `nextOffset`). */
export const LogChunk = object({
  offset: Type.Integer(),
  segments: Type.Array(LogSegmentSchema),
  nextOffset: Type.Integer(),
});
export type LogChunk = Static<typeof LogChunk>;

export const LogAnswer = object({
  offset: Type.Integer(),
  segments: Type.Array(LogSegmentSchema),
  nextOffset: Type.Integer(),
  run: RunView,
  /** Set when `run.status` is terminal: the log ends here. */
  finalOffset: nullable(Type.Integer()),
  sha256: nullable(Type.String()),
});
export type LogAnswer = Static<typeof LogAnswer>;

/** Data of the SSE event `end`, the last of a log. */
export const LogEnd = object({
  status: literals(RUN_STATUSES),
  reason: nullable(literals(FAILURE_REASONS)),
  message: nullable(Type.String()),
  exitCode: nullable(Type.Integer()),
  finalOffset: Type.Integer(),
  sha256: nullable(Type.String()),
});
export type LogEnd = Static<typeof LogEnd>;

export const ArtifactView = object({
  /** Relative to the project's folder, or `@outside/<id>/…`. */
  path: Type.String(),
  mode: SnapshotMode,
  size: Type.Integer(),
  sha256: Sha256,
});
export const ArtifactList = object({ artifacts: Type.Array(ArtifactView) });
export type ArtifactList = Static<typeof ArtifactList>;

export const CancelRequest = object({ reason: Type.Optional(Type.String({ maxLength: 500 })) });
export type CancelRequest = Static<typeof CancelRequest>;
