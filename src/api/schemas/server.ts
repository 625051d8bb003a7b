/** What a server tells of itself, and how it tells of an error. */
import type { Static } from "typebox";
import { Type } from "../schema-builder.ts";
import { literals, nullable, object } from "./parts.ts";

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
          /** A fork that waits for the project's next run. */
          sparePid: nullable(Type.Integer()),
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

export const ReconcileAnswer = object({ running: Type.Integer(), pending: Type.Integer() });
export type ReconcileAnswer = Static<typeof ReconcileAnswer>;
