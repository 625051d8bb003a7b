/** An issuer of ID tokens on this machine, with real keys, discovery, and every kind of forgery. */
import { createHmac, createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import { type HttpStandIn, type StandInAnswer, startHttpStandIn } from "./http-stand-in.ts";

export interface TokenParts {
  readonly header?: object;
  readonly claims?: object;
  /** Default: the issuer's own key. */
  readonly key?: KeyObject;
}

export interface OidcIssuer {
  readonly url: string;
  readonly jwksUrl: string;
  /** Requests that it has seen. */
  readonly seen: HttpStandIn["seen"];
  /** Its public key, in the form in which anyone can have it. */
  readonly publicPem: string;
  /** A good token for `audience` of Ada, who is of example.org, with whatever else is said. Times are in seconds. */
  token(audience: string, parts?: TokenParts): string;
  /** From now on it answers nothing of use, or again. */
  fail(isFailing: boolean): void;
  close(): Promise<void>;
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

export function newKey(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  return generateKeyPairSync("rsa", { modulusLength: 2048 });
}

/** A token signed with a secret, as whoever takes a public key for one would check it. */
export function signedWithSecret(claims: object, secret: string): string {
  const signed = `${part({ alg: "HS256", kid: "k1", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

export async function startOidcIssuer(): Promise<OidcIssuer> {
  const { publicKey, privateKey } = newKey();
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "k1", alg: "RS256", use: "sig" };
  let failing = false;
  const server = await startHttpStandIn(({ url }): StandInAnswer => {
    if (failing) return { status: 500, body: "down" };
    if (url === "/.well-known/openid-configuration") {
      return { body: { issuer: server.url, jwks_uri: `${server.url}/keys` } };
    }
    return url === "/keys" ? { body: { keys: [jwk] } } : { status: 404 };
  });
  return {
    url: server.url,
    jwksUrl: `${server.url}/keys`,
    seen: server.seen,
    publicPem: publicKey.export({ type: "spki", format: "pem" }) as string,
    token(audience, { header = {}, claims = {}, key = privateKey } = {}) {
      const now = Math.floor(Date.now() / 1000);
      const said = {
        ...{ iss: server.url, sub: "ada-1", aud: audience, iat: now - 1, exp: now + 3600 },
        ...{ email: "Ada@example.org", email_verified: true, ...claims },
      };
      const signed = `${part({ alg: "RS256", kid: "k1", typ: "JWT", ...header })}.${part(said)}`;
      return `${signed}.${createSign("RSA-SHA256").update(signed).sign(key, "base64url")}`;
    },
    fail(isFailing) {
      failing = isFailing;
    },
    close: () => server.close(),
  };
}
