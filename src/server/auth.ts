/** Who asks: the check that comes before every route but the open ones. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { headers } from "../api/paths.ts";
import { AppError } from "../core/errors.ts";
import type { Requester } from "../core/run.ts";
import type { AuthKind } from "./auth-options.ts";
import { isLoopbackAuthority, isOwnOrigin } from "./loopback.ts";

/** Who asks, and for how long that is known. */
export interface Caller {
  readonly requester: Requester;
  /** When the token ends, in ms since the epoch; null where it does not. A stream ends with it. */
  readonly expiresAtMs: number | null;
}

export interface Auth {
  readonly kind: AuthKind;
  /** Throws where the request may come from another site's page. `port` is the one the server listens on. */
  checkOrigin(request: IncomingHttpHeaders, port: number): void;
  /** Rejects with `unauthorized` for a request without a good token, with `forbidden` where its owner may not use the server. */
  caller(request: IncomingHttpHeaders): Promise<Caller>;
  /** What proves to a local client that this server wrote the registration that it read; undefined elsewhere. */
  proof(nonce: string): string | undefined;
}

/** The ways without an identity: `token` is the one of the registration file, of `DBT_SERVER_TOKEN`, or null where none is asked for. */
export function createAuth(kind: "local" | "none" | "token", token: string | null): Auth {
  const tokenId =
    kind === "token"
      ? `token-${sha256(token ?? "")
          .toString("hex")
          .slice(0, 16)}`
      : kind;
  const expected = token === null ? undefined : sha256(token);
  return {
    kind,

    checkOrigin(request, port) {
      // A token is never sent by a browser on its own; without one, only these headers tell pages apart.
      if (kind === "token") return;
      if (!isLoopbackAuthority(request.host, port)) {
        throw new AppError("host_refused", `The Host header "${shown(request.host)}" does not name this server.`, {
          hint: `Use http://127.0.0.1:${port} or http://localhost:${port}`,
        });
      }
      if (request.origin !== undefined && !isOwnOrigin(request.origin, port)) {
        throw new AppError("host_refused", `Pages of "${shown(request.origin)}" may not use this server.`);
      }
    },

    async caller(request) {
      if (kind !== "none") {
        const given = bearerOf(request.authorization);
        if (given === undefined || expected === undefined || !timingSafeEqual(sha256(given), expected)) {
          throw new AppError(
            "unauthorized",
            given === undefined ? "A token is needed." : "The token is not the right one.",
            {
              hint:
                kind === "local"
                  ? "dbt-remote finds the token of a local server by itself; others send the one in the server's registration file as Authorization: Bearer TOKEN"
                  : "Set DBT_SERVER_TOKEN to the server's token",
              details: { auth: kind },
            },
          );
        }
      }
      const client = clientOf(request);
      const id = client === undefined ? tokenId : `${tokenId}:${client}`;
      return { requester: { id, label: labelOf(request) ?? tokenId }, expiresAtMs: null };
    },

    proof: (nonce) =>
      kind === "local" && token !== null ? createHmac("sha256", token).update(nonce).digest("hex") : undefined,
  };
}

/** The token of an Authorization header; undefined where there is none, or one that cannot be. */
export function bearerOf(header: string | string[] | undefined): string | undefined {
  return typeof header === "string" ? /^Bearer +([\x21-\x7e]{1,8192})$/i.exec(header)?.[1] : undefined;
}

function clientOf(request: IncomingHttpHeaders): string | undefined {
  const client = request[headers.client];
  if (client === undefined || client === "") return undefined;
  if (typeof client === "string" && /^[A-Za-z0-9._-]{1,100}$/.test(client)) return client;
  throw new AppError("bad_request", `The header ${headers.client} has to be 1 to 100 letters, digits, dots or dashes.`);
}

function labelOf(request: IncomingHttpHeaders): string | undefined {
  const user = request[headers.user];
  if (user === undefined || user === "") return undefined;
  if (typeof user === "string" && /^[\x20-\x7e]{1,200}$/.test(user)) return user.trim();
  throw new AppError("bad_request", `The header ${headers.user} has to be 1 to 200 printable ASCII characters.`);
}

/** Also makes lengths equal, as a comparison in constant time needs. */
function sha256(value: string): Buffer {
  return createHash("sha256").update(value).digest();
}

function shown(value: string | undefined): string {
  return (value ?? "").slice(0, 100);
}
