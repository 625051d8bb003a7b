import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY_ENVELOPE } from "./envelope.ts";
import { secretsOf } from "./secrets.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

test("secrets come from names, from the profile's credentials, and from the files sent along", () => {
  const found = secretsOf({
    envelope: {
      ...EMPTY_ENVELOPE,
      env: { MY_TOKEN: "named", OPEN: "open", DBT_ENV_SECRET_A: "sent" },
      dotenv: { DBT_ENV_SECRET_B: "dotenv" },
      secretNames: ["MY_TOKEN"],
      files: [
        { name: "key.json", contentBase64: base64('{"private_key": "pem", "client_email": "me@x"}') },
        { name: "ca.pem", contentBase64: base64("-----BEGIN CERTIFICATE-----\nabc\n") },
        { name: "token", contentBase64: base64("opaque") },
      ],
    },
    env: { MY_TOKEN: "named", DBT_ENV_SECRET_A: "of the server", PG: "rendered" },
    profiles: {
      p: {
        outputs: {
          dev: { type: "postgres", user: "ada", password: "{{ env_var('PG') }}" },
          ci: { type: "postgres", user: "postgres", password: "postgres" },
          prod: { type: "snowflake", private_key: "key", role: "r" },
        },
      },
    },
  });
  assert.deepEqual(found.sort(), ["dotenv", "key", "named", "of the server", "opaque", "pem", "rendered", "sent"]);
});

test("a profile that is none hides nothing", () => {
  for (const profiles of [undefined, null, "text", { p: null }, { p: { outputs: [1] } }]) {
    assert.deepEqual(secretsOf({ envelope: EMPTY_ENVELOPE, env: {}, profiles }), []);
  }
});
