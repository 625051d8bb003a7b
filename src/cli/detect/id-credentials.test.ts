import assert from "node:assert/strict";
import { test } from "node:test";
import { unsignedToken } from "../../../test/gcloud-stand-in.ts";
import { scene, service, TOKEN } from "../../../test/google-scene.ts";
import type { SeenRequest, StandInAnswer } from "../../../test/http-stand-in.ts";
import { SERVICES, shownTokens } from "../../../test/run-services.ts";
import { AppError } from "../../core/errors.ts";

const ANSWER: StandInAnswer = { body: { version: "1" } };
const HTML: StandInAnswer = { status: 403, body: "<html>Forbidden</html>" };

const refusal = (auth: string): StandInAnswer => ({
  status: 401,
  body: { error: { code: "unauthorized", message: "The ID token was not accepted.", details: { auth } } },
});
const bearer = (header: string | string[] | undefined) => String(header ?? "").replace(/^Bearer /, "");

/** A dbt-server by itself, which checks who asks. */
function checking(auth: string, token: () => string) {
  return ({ url, headers }: SeenRequest): StandInAnswer => {
    if (url.startsWith("/check")) return SERVICES.dbtServer();
    return bearer(headers["authorization"]) === token() ? ANSWER : refusal(auth);
  };
}

/** Cloud Run in front of a dbt-server: it takes one token, and spoils the one that it has looked at. */
function behindCloudRun(token: string, server: (request: SeenRequest) => StandInAnswer) {
  return (request: SeenRequest): StandInAnswer => {
    const { authorization, "x-serverless-authorization": serverless, ...rest } = request.headers;
    const shown = serverless ?? authorization;
    if (bearer(shown) !== token) return shown === undefined ? HTML : { ...HTML, status: 401 };
    const spoilt = `Bearer ${token.replace(/[^.]*$/, "SIGNATURE_REMOVED_BY_GOOGLE")}`;
    const headers =
      serverless === undefined
        ? { ...rest, authorization: spoilt }
        : { ...rest, authorization, "x-serverless-authorization": spoilt };
    return server({ ...request, headers });
  };
}

const sent = ({ headers }: SeenRequest) => [
  bearer(headers["authorization"]),
  bearer(headers["x-serverless-authorization"]),
];

test("a server that wants to know nothing is told nothing, and looked at once", async () => {
  const server = await service(({ url }) => (url === "/check" ? SERVICES.dbtServer() : ANSWER));
  const first = await scene({ services: [], env: { DBT_SERVER_URL: server.url } });
  await (await first.find()).server();
  const second = await scene({ services: [], env: { DBT_SERVER_URL: server.url }, home: first.home });
  await (await second.find()).server();
  assert.deepEqual(
    server.seen.map(({ url }) => url),
    ["/check", "/api/v1/server", "/api/v1/server"],
  );
  assert.deepEqual(shownTokens([server]), []);
  assert.deepEqual(first.gcloud.calls(), []);
});

test("behind Cloud Run, where the server trusts it: one token, sent at once the next time", async () => {
  const server = await service(
    behindCloudRun(TOKEN, ({ headers }) =>
      headers["x-serverless-authorization"] === undefined || headers["authorization"] === undefined
        ? ANSWER
        : refusal("cloud-run-iam"),
    ),
  );
  const services = [{ name: "dbt", url: server.url }];
  const first = await scene({ services, env: { DBT_SERVER_URL: server.url } });
  await (await first.find()).server();
  const before = server.seen.length;
  const env = { DBT_SERVER_URL: server.url, ...first.gcloud.env };
  const second = await scene({ services, env, home: first.home });
  await (await second.find()).server();
  assert.deepEqual(server.seen.slice(before).map(sent), [[TOKEN, ""]]);
  assert.equal(first.gcloud.calls().filter((call) => call === "auth print-identity-token").length, 1);
});

test("a server that checks by itself gets its token when it says so", async () => {
  const server = await service(checking("oidc", () => TOKEN));
  const looked = await scene({ services: [{ name: "dbt", url: server.url }], env: { DBT_SERVER_URL: server.url } });
  const client = await looked.find();
  await client.server();
  await client.server();
  assert.deepEqual(server.seen.map(sent), [
    ["", ""],
    ["", ""],
    [TOKEN, ""],
    [TOKEN, ""],
  ]);
});

test("behind Cloud Run and checking by itself: both headers", async () => {
  const server = await service(
    behindCloudRun(
      TOKEN,
      checking("oidc", () => TOKEN),
    ),
  );
  const looked = await scene({ services: [{ name: "dbt", url: server.url }], env: { DBT_SERVER_URL: server.url } });
  await (await looked.find()).server();
  assert.deepEqual(server.seen.map(sent), [
    ["", ""],
    [TOKEN, ""],
    [TOKEN, TOKEN],
  ]);
});

test("a token of the user's own keeps its header; Cloud Run's goes beside it", async () => {
  const server = await service(
    behindCloudRun(
      TOKEN,
      checking("token", () => "my-own"),
    ),
  );
  const env = { DBT_SERVER_URL: server.url, DBT_SERVER_TOKEN: "my-own" };
  const looked = await scene({ services: [{ name: "dbt", url: server.url }], env });
  await (await looked.find()).server();
  assert.deepEqual(server.seen.map(sent), [
    ["my-own", ""],
    ["my-own", TOKEN],
  ]);
  const wrong = await service(checking("token", () => "another"));
  const refused = await scene({ services: [], env: { ...env, DBT_SERVER_URL: wrong.url } });
  await assert.rejects((await refused.find()).server(), /not accepted/);
  assert.deepEqual(wrong.seen.map(sent), [["my-own", ""]], "an ID token would not help");
});

test("a token that ends is renewed, also in the middle of following", async () => {
  const [old, fresh] = [unsignedToken(3_600_000, { n: 1 }), unsignedToken(3_600_000, { n: 2 })];
  let good = old;
  const server = await service((request) => {
    const answer = checking("oidc", () => good)(request);
    if (answer.status !== undefined || !request.url.includes("/log")) return answer;
    return { headers: { "content-type": "text/event-stream" }, body: "event: timeout\ndata: {}\n\n" };
  });
  const services = [{ name: "dbt", url: server.url }];
  const env = { DBT_SERVER_URL: server.url };
  const first = await scene({ services, env, gcloud: { identityToken: old } });
  await (await first.find()).server();
  const next = await scene({ services, env: { ...env, ...first.gcloud.env }, home: first.home });
  const client = await next.find();
  const follow = async () => {
    const types: string[] = [];
    for await (const { type } of client.logStream("1", { offset: 0, silenceMs: 5_000 })) types.push(type);
    return types;
  };
  assert.deepEqual(await follow(), ["timeout"]);
  assert.equal(sent(server.seen.at(-1) as SeenRequest)[0], old, "kept by the first command");
  first.gcloud.setIdentityToken(fresh);
  good = fresh;
  assert.deepEqual(await follow(), ["timeout"]);
  assert.equal(sent(server.seen.at(-1) as SeenRequest)[0], fresh);
  // Requests that go on at once learn from each other.
  first.gcloud.setIdentityToken(old);
  const many = await (await scene({ services, env: { ...env, ...first.gcloud.env }, home: first.home })).find();
  good = old;
  await Promise.all([many.server(), many.server(), many.server()]);
  good = fresh;
  // What is refused though it is new is not asked for again and again.
  good = "nothing";
  const before = server.seen.length;
  await assert.rejects(follow(), /not accepted/);
  assert.ok(server.seen.length - before <= 4);
});

test("gcloud's token goes to no server that is not the user's own, unless they agree", async () => {
  const server = await service(checking("oidc", () => TOKEN));
  const env = { DBT_SERVER_URL: server.url };
  const looked = await scene({ services: [], env });
  await assert.rejects(
    (await looked.find()).server(),
    (error) =>
      error instanceof AppError && error.code === "server_untrusted" && /--trust-server/.test(error.hint ?? ""),
  );
  assert.deepEqual(shownTokens([server]), []);
  const asked = await scene({ services: [], env, answer: "y" });
  await (await asked.find()).server();
  assert.match(asked.asked(), /is no service of shop.*Show it\?/s);
  const again = await scene({ services: [], env, home: asked.home });
  await (await again.find()).server();
  // A service account's is good for this server alone.
  const account = { account: "ci@shop.iam.gserviceaccount.com" };
  await (await (await scene({ services: [], env, gcloud: account })).find()).server();
});

test("without an identity, what is missing is said; a token never goes over plain HTTP", async () => {
  const server = await service(() => HTML);
  const none = await scene({ services: [], env: { DBT_SERVER_URL: server.url, PATH: "/nonexistent" } });
  await assert.rejects(
    (await none.find()).server(),
    (error) =>
      error instanceof AppError && error.code === "identity_unavailable" && /gcloud auth login/.test(error.hint ?? ""),
  );
  const plain = await scene({ services: [], flags: { serverUrl: ["http://10.255.255.1:1"] } });
  await assert.rejects(
    plain.credentials("http://10.255.255.1:1", { front: true, own: false, isOurs: true }).headers(),
    (error) => error instanceof AppError && error.code === "server_untrusted" && /HTTPS only/.test(error.message),
  );
  assert.deepEqual(plain.gcloud.calls(), []);
  const gcloud = await scene({ services: [{ name: "dbt", url: server.url }], env: { DBT_SERVER_URL: server.url } });
  await assert.rejects(
    (await gcloud.find()).server(),
    (error) =>
      error instanceof AppError &&
      error.code === "forbidden" &&
      /ada@example\.org roles\/run\.invoker/.test(error.hint ?? ""),
  );
});
