/** Runs, as they are asked for and shown, and what they leave. */
import type { Static } from "typebox";
import { FAILURE_REASONS, RUN_STATUSES } from "../../core/run.ts";
import { Type } from "../schema-builder.ts";
import { literals, nullable, object, RelativePath, RunId, Sha256, SnapshotId, Time } from "./parts.ts";
import { SnapshotMode } from "./snapshots.ts";

const Argv = Type.Array(Type.String({ maxLength: 1_048_576 }), { minItems: 1, maxItems: 20_000 });

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
  /** Where dbt was told to end: only the run's own end tells why. */
  stopped: Type.Optional(Type.Boolean()),
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
