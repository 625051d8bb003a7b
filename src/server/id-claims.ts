/** What an ID token says of its owner, and whether that one may use the server. Pure. */
import { AppError } from "../core/errors.ts";
import type { Caller } from "./auth.ts";
import type { AuthKind } from "./auth-options.ts";

export type IdClaims = Readonly<Record<string, unknown>>;

export interface AllowedCallers {
  readonly kind: AuthKind;
  /** E-mail addresses, domains, or a star; empty: everyone. */
  readonly allowed: readonly string[];
}

export const GOOGLE_ISSUER = "https://accounts.google.com";

/** Google signs with its name in two forms: its users are the same. */
export function sameIssuer(issuer: string): string {
  return issuer === "accounts.google.com" ? GOOGLE_ISSUER : issuer;
}

/**
 * Who a checked token belongs to. `unauthorized` where it says too little or its e-mail address was never verified,
 * `forbidden` where it is good and its owner is not among `allowed`; an empty list lets in everyone.
 */
export function callerOf(claims: IdClaims, { kind, allowed }: AllowedCallers): Caller {
  const { iss, sub, exp } = claims;
  const isSubject = typeof sub === "string" && /^[\x21-\x7e]{1,255}$/.test(sub);
  if (typeof iss !== "string" || !isSubject || typeof exp !== "number") throw notAccepted(kind);
  const issuer = sameIssuer(iss);
  const email = typeof claims["email"] === "string" ? claims["email"].toLowerCase() : undefined;
  const isVerified = claims["email_verified"] === true;
  // Whoever may choose an address could be anyone. Some issuers verify all and do not say so: "everyone" means theirs too.
  const needsVerified = claims["email_verified"] !== undefined || !lets(allowed, "*");
  if (email !== undefined && !isVerified && needsVerified) throw notAccepted(kind);
  const label = (email ?? sub).replace(/[^\x20-\x7e]/g, "?").slice(0, 200);
  if (allowed.length > 0 && !isAllowed({ issuer, email, hostedDomain: claims["hd"] }, allowed)) {
    throw new AppError("forbidden", `${label} may not use this server.`, {
      hint: "Whoever runs it can add the address to DBT_SERVER_ALLOWED_EMAILS",
    });
  }
  return { requester: { id: `${issuer}#${sub}`, label }, expiresAtMs: exp * 1000 };
}

/** The answer to every bad token: which check it failed is nobody's business. */
export function notAccepted(kind: AuthKind): AppError {
  return new AppError("unauthorized", "The ID token was not accepted.", {
    hint: "Get a new one, for this server",
    details: { auth: kind },
  });
}

const lets = (allowed: readonly string[], entry: string): boolean => allowed.includes(entry);

interface Owner {
  readonly issuer: string;
  readonly email: string | undefined;
  /** Google's claim that the account belongs to this organisation. */
  readonly hostedDomain: unknown;
}

function isAllowed({ issuer, email, hostedDomain }: Owner, allowed: readonly string[]): boolean {
  const entries = allowed.map((entry) => entry.toLowerCase());
  if (lets(entries, "*")) return true;
  if (email === undefined) return false;
  if (lets(entries, email)) return true;
  const domain = email.slice(email.lastIndexOf("@") + 1);
  if (!lets(entries, domain) && !lets(entries, `@${domain}`)) return false;
  // Anyone can once have made a Google account of their own for an address of the organisation, and still have it.
  return issuer !== GOOGLE_ISSUER || hostedDomain === domain || domain.endsWith(".gserviceaccount.com");
}
