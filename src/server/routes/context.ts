/** What routes work with. Everything comes ready; a route only translates between HTTP and it. */

// The types of what it adds to a schema, such as its summary.
import type {} from "@fastify/swagger";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { MetricsAnswer, ServerAnswer } from "../../api/schemas/server.ts";
import type { Requester, Run } from "../../core/run.ts";
import type { State } from "../../state/port.ts";
import type { Stores } from "../../state/stores.ts";
import type { Auth } from "../auth.ts";
import type { FollowedRuns, LogHub } from "../log/hub.ts";
import type { CreateRun } from "../requests/run-requests.ts";
import type { RunViews } from "../run-views.ts";

/** The app, with types made of each route's schemas. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

export interface AppContext {
  readonly auth: Auth;
  readonly version: string;
  /** The port that the server listens on. */
  readonly port: () => number;
  readonly state: State;
  readonly stores: Stores;
  readonly hub: LogHub;
  readonly followedRuns: FollowedRuns;
  readonly view: RunViews;
  readonly createRun: CreateRun;
  /** What the server is, and which dbt it has; waits until that is known. What dbt itself says of it takes seconds. */
  readonly describe: (withVersionText: boolean) => Promise<ServerAnswer>;
  readonly metrics: () => Promise<MetricsAnswer>;
  /** Whether clients are sent to State itself for what is large. */
  readonly signedDownloads: boolean;
  /** Looks after every run that has not ended, and launches what can be launched. */
  readonly reconcile: () => Promise<void>;
  /** The run as it is in truth: where its job is gone, as somebody has to say. Asks no oftener than makes sense. */
  readonly reconciled: (run: Run) => Promise<Run>;
  /** Asks for a run's end; resolves when a run that had not begun has ended. */
  readonly cancel: (run: Run, by: Requester, reason: string | null) => Promise<void>;
  readonly onError: (error: unknown, requestId: string) => void;
  /** Told of what was asked of a run, and by which request. */
  readonly onRun: (what: string, runId: string, requestId: string) => void;
}

declare module "fastify" {
  interface FastifyRequest {
    /** Who asks; set before the route of every path that is not open to all. */
    requester: Requester | null;
    /** When who asks is no longer known, in ms since the epoch: streams end then. */
    tokenExpiresAtMs: number | null;
  }
  interface FastifyContextConfig {
    /** Open to everyone who reaches the server. */
    isOpen?: boolean;
  }
}

/** Who asks, on a route that is not open. */
export function requesterOf(request: Pick<FastifyRequest, "requester">): Requester {
  if (request.requester === null) throw new Error("the route is open: nobody was asked who they are");
  return request.requester;
}
