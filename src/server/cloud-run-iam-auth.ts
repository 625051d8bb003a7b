/** `--auth cloud-run-iam`: Cloud Run has checked the token before the request came here, and taken its signature away. */
import { type Auth, bearerOf } from "./auth.ts";
import { callerOf, GOOGLE_ISSUER, type IdClaims, notAccepted, sameIssuer } from "./id-claims.ts";

export interface CloudRunIamAuthParams {
  /** Who of those whom Cloud Run lets in may use the server; empty: everyone. */
  readonly allowed: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** In place of a signature. A token that still has one was not checked. */
const REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE";
const CLOCK_TOLERANCE_MS = 30_000;
const kind = "cloud-run-iam";

/** Only for a service whose IAM policy lets in nobody unknown: see own-service.ts. */
export function createCloudRunIamAuth({ allowed, now }: CloudRunIamAuthParams): Auth {
  return {
    kind,
    // A browser sends no such token by itself.
    checkOrigin: () => {},
    proof: () => undefined,
    async caller(request) {
      const serverless = request["x-serverless-authorization"];
      const plain = request.authorization;
      // Cloud Run looks at the first only: the other one may say anything.
      if (serverless !== undefined && plain !== undefined) throw notAccepted(kind);
      const claims = claimsOf(bearerOf(serverless ?? plain));
      const { iss, exp } = claims ?? {};
      if (claims === undefined || typeof iss !== "string" || typeof exp !== "number") throw notAccepted(kind);
      if (sameIssuer(iss) !== GOOGLE_ISSUER) throw notAccepted(kind);
      if (exp * 1000 + CLOCK_TOLERANCE_MS < now()) throw notAccepted(kind);
      return callerOf(claims, { kind, allowed });
    },
  };
}

function claimsOf(token: string | undefined): IdClaims | undefined {
  const [, payload = "", signature, ...more] = token?.split(".") ?? [];
  if (signature !== REMOVED || more.length > 0) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    return typeof claims === "object" && claims !== null && !Array.isArray(claims) ? { ...claims } : undefined;
  } catch {
    return undefined;
  }
}
