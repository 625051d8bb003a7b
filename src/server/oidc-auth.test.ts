import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { newKey, type OidcIssuer, signedWithSecret, startOidcIssuer, type TokenParts } from "../../test/oidc-issuer.ts";
import { AppError } from "../core/errors.ts";
import type { Auth } from "./auth.ts";
import type { IdentitySettings } from "./auth-options.ts";
import { answerOf } from "./error-answers.ts";
import { createOidcAuth } from "./oidc-auth.ts";

const AUDIENCE = "https://dbt.example.org";
const GCLOUD = "32555940559.apps.googleusercontent.com";

let issuer: OidcIssuer;
before(async () => {
  issuer = await startOidcIssuer();
});
after(() => issuer.close());

const refusals: string[] = [];
function authWith(identity: Partial<IdentitySettings> = {}, now: () => number = Date.now): Auth {
  return createOidcAuth({
    identity: {
      ...{ issuers: [issuer.url], audiences: [AUDIENCE, GCLOUD], jwksUrl: undefined, allowed: ["@example.org"] },
      ...identity,
    },
    now,
    onRefused: (why) => refusals.push(why),
  });
}

const ask = (auth: Auth, token: string) => auth.caller({ authorization: `Bearer ${token}` });

/** Also holds that nothing of the token is said. */
function fails(auth: Auth, token: string, code: string, what: string): Promise<void> {
  return assert.rejects(
    ask(auth, token),
    (error) => {
      assert.ok(error instanceof AppError, what);
      assert.equal(error.code, code, what);
      const all = JSON.stringify([answerOf(error), error.cause ?? null, refusals]);
      const secrets = token
        .split(".")
        .slice(1)
        .filter((each) => each.length > 10);
      assert.ok(!secrets.some((each) => all.includes(each)), what);
      return true;
    },
    what,
  );
}

test("a good token gives issuer and subject as the requester, the e-mail address to read, and its end", async () => {
  const exp = Math.floor(Date.now() / 1000) + 600;
  const auth = authWith();
  const caller = await ask(auth, issuer.token(AUDIENCE, { claims: { exp } }));
  assert.deepEqual(caller, {
    requester: { id: `${issuer.url}#ada-1`, label: "ada@example.org" },
    expiresAtMs: exp * 1000,
  });
  // gcloud's people have its own audience, and a client's headers say nothing of who it is.
  const other = { "x-dbt-remote-client": "c", "x-dbt-remote-user": "bob" };
  const same = await auth.caller({ authorization: `bearer ${issuer.token(GCLOUD)}`, ...other });
  assert.deepEqual(same.requester, caller.requester);
  assert.deepEqual(
    (await ask(authWith({ jwksUrl: issuer.jwksUrl }), issuer.token(AUDIENCE))).requester,
    same.requester,
  );
});

test("forged tokens are refused, all with the same words", async () => {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer.url, sub: "ada-1", aud: AUDIENCE, iat: now, exp: now + 600 };
  const whole = { ...claims, email: "ada@example.org", email_verified: true };
  const good = issuer.token(AUDIENCE);
  const [header = "", payload = "", signature = ""] = good.split(".");
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const { privateKey, publicKey } = newKey();
  const made = (parts: TokenParts) => issuer.token(AUDIENCE, parts);
  const forged: Record<string, string> = {
    "another's key": made({ key: privateKey }),
    "a key that it brings itself": made({ key: privateKey, header: { jwk: publicKey.export({ format: "jwk" }) } }),
    "an unknown key": made({ key: privateKey, header: { kid: "k2" } }),
    "a key from elsewhere": made({ key: privateKey, header: { jku: "http://127.0.0.1:1/", kid: "k3" } }),
    "alg none": `${encode({ alg: "none", kid: "k1" })}.${encode(whole)}.`,
    "alg None": `${encode({ alg: "None" })}.${encode(whole)}.${signature}`,
    "the public key as a secret": signedWithSecret(whole, issuer.publicPem),
    "no signature": `${header}.${payload}.`,
    "another's signature": `${header}.${encode(whole)}.${signature}`,
    "signature removed": `${header}.${payload}.SIGNATURE_REMOVED_BY_GOOGLE`,
    "wrong audience": issuer.token("https://elsewhere.example.org"),
    "wrong issuer": made({ claims: { iss: "https://accounts.google.com" } }),
    "no issuer": made({ claims: { iss: undefined } }),
    expired: made({ claims: { iat: now - 7200, exp: now - 60 } }),
    "no end": made({ claims: { exp: undefined } }),
    "not yet valid": made({ claims: { nbf: now + 300 } }),
    "issued in the future": made({ claims: { iat: now + 300 } }),
    "no subject": made({ claims: { sub: undefined } }),
    "a subject that is none": made({ claims: { sub: "a\nb" } }),
    "an unverified address": made({ claims: { email_verified: false } }),
    "an address of which nothing is said": made({ claims: { email_verified: undefined } }),
    "an address verified in words": made({ claims: { email_verified: "yes" } }),
    "no token": "abc",
    "three dots": "a.b.c",
  };
  const auth = authWith();
  const answers = new Set<string>();
  for (const [what, token] of Object.entries(forged)) {
    await fails(auth, token, "unauthorized", what);
    const error: unknown = await ask(auth, token).catch((each: unknown) => each);
    answers.add(JSON.stringify(answerOf(error as AppError)));
  }
  assert.equal(answers.size, 1);
  assert.ok(refusals.includes("ERR_JWS_SIGNATURE_VERIFICATION_FAILED") && refusals.includes("ERR_JWT_EXPIRED"));
  await ask(auth, good);
});

test("what is no bearer token is refused before anything is asked", async () => {
  const auth = authWith();
  const asked = issuer.seen.length;
  for (const authorization of [undefined, "", "Bearer", "Basic abc", `Bearer ${"x".repeat(9000)}`]) {
    await assert.rejects(
      auth.caller(authorization === undefined ? {} : { authorization }),
      (error) => error instanceof AppError && error.code === "unauthorized" && error.details?.["auth"] === "oidc",
    );
  }
  assert.equal(issuer.seen.length, asked);
});

test("a good token of somebody else is known, and may not", async () => {
  const token = (email: string | undefined, hd?: string) => issuer.token(AUDIENCE, { claims: { email, hd } });
  for (const email of ["eve@example.com", "eve@example.org.example.com", "example.org@example.com", undefined]) {
    await fails(authWith(), token(email), "forbidden", String(email));
  }
  const one = authWith({ allowed: ["ada@EXAMPLE.org"] });
  await ask(one, token("ada@example.org"));
  await fails(one, token("bob@example.org"), "forbidden", "bob");
  const all = authWith({ allowed: ["*"] });
  assert.equal((await ask(all, token(undefined))).requester.label, "ada-1");
  const unsaid = issuer.token(AUDIENCE, { claims: { email_verified: undefined } });
  assert.equal((await ask(all, unsaid)).requester.label, "ada@example.org");
  await fails(all, issuer.token(AUDIENCE, { claims: { email_verified: false } }), "unauthorized", "unverified");
});

test("an issuer that can't be asked is no refusal, is not asked again and again, and is believed when it is back", async () => {
  let nowMs = Date.now();
  const auth = authWith({}, () => nowMs);
  issuer.fail(true);
  const token = issuer.token(AUDIENCE);
  const asked = issuer.seen.length;
  await fails(auth, token, "identity_unavailable", "down");
  await fails(auth, token, "identity_unavailable", "still down");
  assert.equal(issuer.seen.length, asked + 1);
  issuer.fail(false);
  nowMs += 6_000;
  await ask(auth, token);
});
