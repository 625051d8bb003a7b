import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { gcloudStandIn, unsignedToken } from "../../test/gcloud-stand-in.ts";
import { type HttpStandIn, type SeenRequest, type StandInAnswer, startHttpStandIn } from "../../test/http-stand-in.ts";
import { AppError } from "../core/errors.ts";
import { findIdTokens, type IdTokens } from "./id-tokens.ts";

const HOUR_MS = 3_600_000;
const AUDIENCE = "https://dbt-abc.run.app";

async function find(env: Record<string, string>, cachePath: string, now = Date.now): Promise<IdTokens> {
  const tokens = await findIdTokens({ env, home: "/nonexistent", now, cachePath });
  assert.ok(tokens !== undefined);
  return tokens;
}

test("gcloud's is asked for once an hour, whichever command wants it, and kept for the user alone", async () => {
  const first = unsignedToken(HOUR_MS);
  const gcloud = gcloudStandIn({ identityToken: first });
  const cachePath = join(tempFolder("cache"), "deep", "id-tokens.json");
  const tokens = await find(gcloud.env, cachePath);
  assert.deepEqual([tokens.audience, tokens.owner], ["gcloud", "ada@example.org"]);
  assert.deepEqual(await Promise.all([tokens.get(AUDIENCE), tokens.get("https://other")]), [first, first]);
  assert.equal(statSync(cachePath).mode & 0o777, 0o600);
  const second = unsignedToken(2 * HOUR_MS);
  gcloud.setIdentityToken(second);
  const next = await find(gcloud.env, cachePath);
  assert.equal(await next.get(AUDIENCE), first);
  assert.deepEqual(gcloud.calls(), ["auth print-identity-token"]);
  // Refused: one from an earlier command may be old, a new one is not.
  assert.equal(await next.renew(AUDIENCE), true);
  assert.equal(await next.get(AUDIENCE), second);
  assert.equal(await next.renew(AUDIENCE), false);
  assert.equal(gcloud.calls().length, 2);
  // Near its end, or another account's, it is not taken from the file.
  await (await find(gcloud.env, cachePath, () => Date.now() + 2 * HOUR_MS - 60_000)).get(AUDIENCE);
  await (await find({ ...gcloud.env, CLOUDSDK_CORE_ACCOUNT: "bob@example.org" }, cachePath)).get(AUDIENCE);
  assert.equal(gcloud.calls().length, 4);
  // A file that others can read or write holds nothing.
  chmodSync(cachePath, 0o644);
  await (await find(gcloud.env, cachePath)).get(AUDIENCE);
  assert.equal(gcloud.calls().length, 5);
  assert.equal(statSync(cachePath).mode & 0o777, 0o600);
});

test("gcloud as a service account makes a token for each audience", async () => {
  const cachePath = join(tempFolder("cache"), "id-tokens.json");
  for (const env of [
    { CLOUDSDK_CORE_ACCOUNT: "ci@p.iam.gserviceaccount.com" },
    { CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT: "ci@p.iam.gserviceaccount.com" },
  ]) {
    const gcloud = gcloudStandIn();
    const tokens = await find({ ...gcloud.env, ...env }, cachePath);
    assert.deepEqual([tokens.audience, tokens.owner], ["own", "ci@p.iam.gserviceaccount.com"]);
    await tokens.get(AUDIENCE);
    await tokens.get("https://other.run.app");
    const [one, two] = gcloud.calls();
    assert.equal(one, `auth print-identity-token --audiences=${AUDIENCE}`);
    assert.equal(two, "auth print-identity-token --audiences=https://other.run.app");
  }
});

test("where gcloud fails, its reason is said and nothing that it printed", async () => {
  const gcloud = gcloudStandIn();
  gcloud.setIdentityToken("");
  const cachePath = join(tempFolder("cache"), "id-tokens.json");
  const tokens = await find(gcloud.env, cachePath);
  await assert.rejects(tokens.get(AUDIENCE), (error) => {
    assert.ok(error instanceof AppError && error.code === "identity_unavailable");
    assert.match(error.message, /there is no account/);
    assert.ok(!JSON.stringify([error.message, error.hint, error.cause]).includes("half-a-token"));
    return true;
  });
});

async function google(answer: (request: SeenRequest) => StandInAnswer, use: (server: HttpStandIn) => Promise<void>) {
  const server = await startHttpStandIn(answer);
  try {
    await use(server);
  } finally {
    await server.close();
  }
}

const fromFile = (content: object): Promise<IdTokens> => {
  const path = join(tempFolder("adc"), "credentials.json");
  writeFileSync(path, JSON.stringify(content));
  return find({ GOOGLE_APPLICATION_CREDENTIALS: path }, join(tempFolder("cache"), "id-tokens.json"));
};

test("the metadata server gives the machine's own, for one audience", async () => {
  const token = unsignedToken(HOUR_MS);
  await google(
    ({ url }) => (url.includes("/identity?") ? { body: token } : { status: 404 }),
    async ({ url, seen }) => {
      const cachePath = join(tempFolder("cache"), "id-tokens.json");
      const tokens = await find({ GCE_METADATA_HOST: new URL(url).host, PATH: "" }, cachePath);
      assert.equal(tokens.audience, "own");
      assert.equal(await tokens.get(AUDIENCE), token);
      assert.equal(await tokens.get(AUDIENCE), token);
      assert.equal(seen.length, 1);
      assert.equal(seen[0]?.headers["metadata-flavor"], "Google");
      const query = new URLSearchParams(seen[0]?.url.split("?")[1]);
      assert.deepEqual([query.get("audience"), query.get("format")], [AUDIENCE, "full"]);
    },
  );
});

test("a service account's key signs for the audience", async () => {
  const token = unsignedToken(HOUR_MS);
  await google(
    () => ({ body: { id_token: token } }),
    async ({ url, seen }) => {
      const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
      const pem = privateKey.export({ type: "pkcs8", format: "pem" });
      const key = { private_key: pem, client_email: "ci@p.iam", token_uri: `${url}/token` };
      const tokens = await fromFile({ type: "service_account", ...key });
      assert.equal(await tokens.get(AUDIENCE), token);
      const { assertion = "" } = Object.fromEntries(new URLSearchParams(seen[0]?.body.toString()));
      const claims = JSON.parse(Buffer.from(assertion.split(".")[1] ?? "", "base64url").toString()) as object;
      const { target_audience, iss, scope } = claims as Record<string, unknown>;
      assert.deepEqual([target_audience, iss, scope], [AUDIENCE, "ci@p.iam", undefined]);
    },
  );
});

test("a workload of another cloud, and whoever may act as a service account, get theirs from IAM", async () => {
  const token = unsignedToken(HOUR_MS);
  let failures = 1;
  const answer = ({ url }: SeenRequest): StandInAnswer => {
    if (url === "/sts") return { body: { access_token: "federated", expires_in: 3600 } };
    if (url === "/token") return { body: { access_token: "person", expires_in: 3600 } };
    failures -= 1;
    return failures >= 0 ? { status: 503 } : { body: { token } };
  };
  await google(answer, async ({ url, seen }) => {
    const account = "/v1/projects/-/serviceAccounts/ci@p.iam";
    const impersonation = `${url}${account}:generateAccessToken`;
    const outer = join(tempFolder("outer"), "token");
    writeFileSync(outer, "outer");
    const federated = {
      ...{ type: "external_account", audience: "//iam/x", subject_token_type: "jwt", token_url: `${url}/sts` },
      credential_source: { file: outer },
    };
    const workload = await fromFile({ ...federated, service_account_impersonation_url: impersonation });
    assert.deepEqual([workload.audience, workload.owner], ["own", "ci@p.iam"]);
    assert.equal(await workload.get(AUDIENCE), token);
    const last = seen.at(-1);
    assert.deepEqual([last?.url, last?.headers["authorization"]], [`${account}:generateIdToken`, "Bearer federated"]);
    assert.deepEqual(JSON.parse(last?.body.toString() ?? ""), { audience: AUDIENCE, includeEmail: true });
    await assert.rejects((await fromFile(federated)).get(AUDIENCE), /unless it acts as a service account/);

    const source = { type: "authorized_user", client_id: "i", client_secret: "s", refresh_token: "r" };
    const person = await fromFile({
      ...{ type: "impersonated_service_account", service_account_impersonation_url: impersonation, delegates: ["d"] },
      source_credentials: { ...source, token_uri: `${url}/token` },
    });
    assert.equal(await person.get(AUDIENCE), token);
    assert.equal(seen.at(-1)?.headers["authorization"], "Bearer person");
    assert.deepEqual((JSON.parse(seen.at(-1)?.body.toString() ?? "") as { delegates?: unknown }).delegates, ["d"]);
  });
});

test("without gcloud and credentials there is no identity", async () => {
  const params = { env: { PATH: "/nonexistent", METADATA_SERVER_DETECTION: "none" }, home: "/nonexistent" };
  assert.equal(await findIdTokens({ ...params, now: Date.now, cachePath: "/nonexistent/x" }), undefined);
});

test("what is kept of ended tokens goes", async () => {
  const gcloud = gcloudStandIn({ identityToken: unsignedToken(HOUR_MS) });
  const cachePath = join(tempFolder("cache"), "id-tokens.json");
  writeFileSync(cachePath, JSON.stringify({ old: { token: "t", expiresAtMs: 1 } }), { mode: 0o600 });
  await (await find(gcloud.env, cachePath)).get(AUDIENCE);
  assert.equal(readFileSync(cachePath, "utf8").includes('"old"'), false);
});
