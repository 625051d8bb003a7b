import assert from "node:assert/strict";
import { createVerify, generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { type HttpStandIn, type SeenRequest, type StandInAnswer, startHttpStandIn } from "../../test/http-stand-in.ts";
import { AppError } from "../core/errors.ts";
import { type AccessTokenParams, createAccessTokens } from "./auth.ts";
import { RetryLater } from "./retry.ts";

async function withServer(
  answer: (request: SeenRequest, number: number) => StandInAnswer,
  body: (server: HttpStandIn) => Promise<void>,
): Promise<void> {
  const server = await startHttpStandIn(answer);
  try {
    await body(server);
  } finally {
    await server.close();
  }
}

const tokenOf = (_: SeenRequest, number: number): StandInAnswer => ({
  body: { access_token: `token-${number}`, expires_in: 3600 },
});

function fromFile(content: object, params: Partial<AccessTokenParams> = {}) {
  const path = join(tempFolder("adc"), "key.json");
  writeFileSync(path, JSON.stringify(content));
  const env = { GOOGLE_APPLICATION_CREDENTIALS: path };
  return createAccessTokens({ env, home: "/nonexistent", now: Date.now, ...params });
}

const form = ({ body }: SeenRequest | undefined = {} as SeenRequest) =>
  Object.fromEntries(new URLSearchParams(body.toString()));

test("a token is asked for once, kept until shortly before it expires, and renewed when refused", async () => {
  await withServer(tokenOf, async ({ url, seen }) => {
    let nowMs = 1_000_000;
    const env = { GCE_METADATA_HOST: new URL(url).host };
    const tokens = createAccessTokens({ env, home: "/nonexistent", now: () => nowMs });
    assert.deepEqual(await Promise.all([tokens.get(), tokens.get(), tokens.get()]), Array(3).fill("token-1"));
    assert.equal(seen[0]?.headers["metadata-flavor"], "Google");
    nowMs += 3_300_000;
    assert.equal(await tokens.get(), "token-1");
    nowMs += 100_000;
    assert.equal(await tokens.get(), "token-2");
    assert.equal(tokens.renew(), false);
    nowMs += 120_000;
    assert.equal(tokens.renew(), true);
    assert.equal(await tokens.get(), "token-3");
  });
});

test("a metadata server that fails for a moment is asked again; one that is not there is told with what to do", async () => {
  await withServer(
    () => ({ status: 503 }),
    async ({ url }) => {
      const env = { GCE_METADATA_HOST: new URL(url).host };
      const tokens = createAccessTokens({ env, home: "/nonexistent", now: Date.now });
      await assert.rejects(tokens.get(), (error: unknown) => {
        assert.ok(error instanceof RetryLater && error.cause instanceof AppError);
        assert.match(error.cause.hint ?? "", /application-default login/);
        return true;
      });
    },
  );
});

test("gcloud's own login: a refresh token becomes an access token", async () => {
  await withServer(tokenOf, async ({ url, seen }) => {
    const secrets = { client_id: "id", client_secret: "secret", refresh_token: "refresh" };
    const tokens = fromFile({ type: "authorized_user", ...secrets, token_uri: `${url}/token` });
    assert.equal(await tokens.get(), "token-1");
    assert.deepEqual(form(seen[0]), { grant_type: "refresh_token", ...secrets });
  });
});

test("a service account's key signs for itself", async () => {
  await withServer(tokenOf, async ({ url, seen }) => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    const key = { private_key: pem, private_key_id: "k1", client_email: "job@p.iam", token_uri: `${url}/token` };
    assert.equal(await fromFile({ type: "service_account", ...key }).get(), "token-1");
    const [header = "", claims = "", signature = ""] = (form(seen[0])["assertion"] ?? "").split(".");
    const parse = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString()) as Record<string, unknown>;
    assert.deepEqual(parse(header), { alg: "RS256", typ: "JWT", kid: "k1" });
    assert.equal(parse(claims)["iss"], "job@p.iam");
    assert.equal(parse(claims)["aud"], `${url}/token`);
    const verify = createVerify("RSA-SHA256").update(`${header}.${claims}`);
    assert.ok(verify.verify(publicKey, signature, "base64url"));
  });
});

test("workload identity federation and impersonation exchange one token for another", async () => {
  const answer = ({ url }: SeenRequest): StandInAnswer => {
    if (url === "/subject") return { body: { value: "outer" } };
    if (url === "/sts") return { body: { access_token: "federated", expires_in: 3600 } };
    return { body: { accessToken: "impersonated", expireTime: new Date(Date.now() + 3_600_000).toISOString() } };
  };
  await withServer(answer, async ({ url, seen }) => {
    const tokens = fromFile({
      type: "external_account",
      audience: "//iam.googleapis.com/x",
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      token_url: `${url}/sts`,
      service_account_impersonation_url: `${url}/impersonate`,
      credential_source: {
        url: `${url}/subject`,
        headers: { "x-a": "b" },
        format: { type: "json", subject_token_field_name: "value" },
      },
    });
    assert.equal(await tokens.get(), "impersonated");
    assert.equal(seen[0]?.headers["x-a"], "b");
    assert.equal(form(seen[1])["subject_token"], "outer");
    assert.equal(seen[2]?.headers["authorization"], "Bearer federated");
  });
});

test("a file that can't be used is named with the reason", async () => {
  const named = createAccessTokens({
    env: { GOOGLE_APPLICATION_CREDENTIALS: "/nonexistent/key.json" },
    home: "/",
    now: Date.now,
  });
  await assert.rejects(named.get(), /\/nonexistent\/key\.json can't be used: ENOENT/);
  await assert.rejects(fromFile({ type: "gdch" }).get(), /kind "gdch"/);
  await assert.rejects(fromFile({ type: "authorized_user", client_id: "x" }).get(), /client_secret is missing/);
  const key = { type: "service_account", client_email: "a", private_key: "no key" };
  await assert.rejects(fromFile(key).get(), (error: unknown) => {
    assert.ok(error instanceof AppError && !error.message.includes("no key\n"));
    assert.match(error.message, /private_key is no key/);
    return true;
  });
});
