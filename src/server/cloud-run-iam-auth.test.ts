import assert from "node:assert/strict";
import { test } from "node:test";
import { AppError } from "../core/errors.ts";
import { createCloudRunIamAuth } from "./cloud-run-iam-auth.ts";
import { callerOf } from "./id-claims.ts";

const now = Math.floor(Date.now() / 1000);
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE";
const CLAIMS = {
  ...{ iss: "https://accounts.google.com", sub: "123", exp: now + 600 },
  ...{ email: "ada@example.org", email_verified: true },
};
const tokenOf = (claims: unknown, signature = REMOVED) =>
  `Bearer ${encode({ alg: "RS256" })}.${encode(claims)}.${signature}`;
const auth = createCloudRunIamAuth({ allowed: [], now: Date.now });

const fails = (headers: Record<string, string>, code: string, which = auth) =>
  assert.rejects(
    which.caller(headers),
    (error) => error instanceof AppError && error.code === code,
    JSON.stringify(headers),
  );

test("who asks is read from the token that Cloud Run has checked, in whichever header it looked", async () => {
  const expected = { id: "https://accounts.google.com#123", label: "ada@example.org" };
  const caller = await auth.caller({ authorization: tokenOf(CLAIMS) });
  assert.deepEqual(caller, { requester: expected, expiresAtMs: CLAIMS.exp * 1000 });
  const other = await auth.caller({ "x-serverless-authorization": tokenOf({ ...CLAIMS, iss: "accounts.google.com" }) });
  assert.deepEqual(other.requester, expected);
  const account = await auth.caller({ authorization: tokenOf({ ...CLAIMS, email: undefined }) });
  assert.equal(account.requester.label, "123");
});

test("what Cloud Run did not check is refused", async () => {
  await fails({}, "unauthorized");
  await fails({ authorization: tokenOf(CLAIMS), "x-serverless-authorization": tokenOf(CLAIMS) }, "unauthorized");
  await fails({ authorization: "", "x-serverless-authorization": tokenOf(CLAIMS) }, "unauthorized");
  for (const token of [
    tokenOf(CLAIMS, "c2lnbmF0dXJl"),
    tokenOf(CLAIMS, ""),
    `${tokenOf(CLAIMS)}.${REMOVED}`,
    tokenOf({ ...CLAIMS, iss: "https://evil.example.org" }),
    tokenOf({ ...CLAIMS, exp: now - 60 }),
    tokenOf({ ...CLAIMS, exp: undefined }),
    tokenOf({ ...CLAIMS, sub: 5 }),
    tokenOf({ ...CLAIMS, email_verified: false }),
    tokenOf([]),
    tokenOf("text"),
    `Bearer ${encode({})}.%%%.${REMOVED}`,
  ]) {
    await fails({ authorization: token }, "unauthorized");
  }
});

test("of those whom Cloud Run lets in, some may be named", async () => {
  const some = createCloudRunIamAuth({ allowed: ["ada@example.org"], now: Date.now });
  await some.caller({ authorization: tokenOf(CLAIMS) });
  await fails({ authorization: tokenOf({ ...CLAIMS, email: "bob@example.org" }) }, "forbidden", some);
});

test("an address at the organisation is of it only where Google says so", () => {
  const rule = { kind: "cloud-run-iam", allowed: ["example.org", "@p.iam.gserviceaccount.com"] } as const;
  callerOf({ ...CLAIMS, hd: "example.org" }, rule);
  callerOf({ ...CLAIMS, email: "ci@p.iam.gserviceaccount.com" }, rule);
  for (const hd of [undefined, "example.com"]) {
    assert.throws(
      () => callerOf({ ...CLAIMS, hd }, rule),
      (error) => error instanceof AppError && error.code === "forbidden",
    );
  }
});
