import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOptions } from "../config/options.ts";
import { AppError } from "../core/errors.ts";
import { AUTH_OPTIONS, authSettings } from "./auth-options.ts";

function settings(env: Record<string, string>, host = "0.0.0.0") {
  return authSettings(parseOptions(AUTH_OPTIONS, { env }).values, host, env);
}

const OIDC = {
  DBT_SERVER_AUTH: "oidc",
  DBT_SERVER_OIDC_ISSUER: "https://accounts.google.com",
  DBT_SERVER_OIDC_AUDIENCE: "https://dbt.example.org,32555940559.apps.googleusercontent.com",
  DBT_SERVER_ALLOWED_EMAILS: "ada@example.org,@example.net",
};

test("identity by configuration", () => {
  assert.deepEqual(settings(OIDC), {
    ...{ auth: "oidc", token: undefined },
    identity: {
      issuers: ["https://accounts.google.com"],
      audiences: ["https://dbt.example.org", "32555940559.apps.googleusercontent.com"],
      jwksUrl: undefined,
      allowed: ["ada@example.org", "@example.net"],
    },
  });
  assert.equal(settings({ DBT_SERVER_AUTH: "cloud-run-iam", K_SERVICE: "dbt" }).auth, "cloud-run-iam");
  settings({ ...OIDC, DBT_SERVER_OIDC_ISSUER: "http://127.0.0.1:5", DBT_SERVER_ALLOWED_EMAILS: "*" });
});

test("what would let in strangers is refused with the next step", () => {
  const refused: [Record<string, string>, RegExp][] = [
    [{ ...OIDC, DBT_SERVER_OIDC_ISSUER: "" }, /needs DBT_SERVER_OIDC_ISSUER.*export DBT_SERVER_OIDC_ISSUER=https/],
    [{ ...OIDC, DBT_SERVER_OIDC_AUDIENCE: "" }, /needs DBT_SERVER_OIDC_AUDIENCE/],
    [{ ...OIDC, DBT_SERVER_ALLOWED_EMAILS: "" }, /needs DBT_SERVER_ALLOWED_EMAILS/],
    [{ ...OIDC, DBT_SERVER_OIDC_ISSUER: "http://idp.example.org" }, /no https:/],
    [{ ...OIDC, DBT_SERVER_OIDC_JWKS_URL: "http://idp.example.org/keys" }, /no https:/],
    [{ DBT_SERVER_AUTH: "cloud-run-iam" }, /K_SERVICE/],
    [{ DBT_SERVER_AUTH: "none" }, /loopback address only/],
  ];
  for (const [env, why] of refused) {
    assert.throws(
      () => settings(env),
      (error) =>
        error instanceof AppError && error.code === "bad_argument" && why.test(`${error.message} ${error.hint}`),
      JSON.stringify(env),
    );
  }
  assert.throws(() => settings({ ...OIDC, DBT_SERVER_ALLOWED_EMAILS: "ada" }), /DBT_SERVER_ALLOWED_EMAILS/);
});
