import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { scene, service, TOKEN } from "../../../test/google-scene.ts";
import { SERVICES, shownTokens } from "../../../test/run-services.ts";
import { AppError } from "../../core/errors.ts";
import { DEADLINE_MS } from "./google-cloud.ts";

const fails = (work: Promise<unknown>, ...said: RegExp[]) =>
  assert.rejects(work, (error) => {
    assert.ok(error instanceof AppError, String(error));
    for (const text of said) assert.match(`${error.message}\n${error.hint}`, text);
    return error.code === "server_not_found";
  });

test("nothing configured: the one dbt-server of gcloud's project, which says so without a token", async () => {
  const server = await service(SERVICES.dbtServer);
  const decoys = await Promise.all(
    [SERVICES.website, SERVICES.boaster, SERVICES.list, SERVICES.redirect, SERVICES.endless, SERVICES.angry].map(
      service,
    ),
  );
  const looked = await scene({
    services: [
      ...decoys.map(({ url }, index) => ({ name: `web${index}`, url })),
      { name: "any-name", url: server.url, region: "us-east1" },
    ],
  });
  const found = await looked.detect();
  assert.deepEqual(found, {
    ...{ url: server.url, access: { front: false, own: false, isOurs: false } },
    isDoubtful: true,
  });
  assert.deepEqual(looked.api.seen[0]?.headers["authorization"], "Bearer access");
  assert.deepEqual(shownTokens([...decoys, server]), []);
});

test("a labelled service is shown a token once it wants one; what has no label never is", async () => {
  const server = await service(SERVICES.behindIam(() => TOKEN));
  const decoys = [
    await service(SERVICES.wantsToken),
    await service(SERVICES.website),
    await service(SERVICES.wantsToken),
  ];
  const looked = await scene({
    services: [
      ...decoys.map(({ url }, index) => ({ name: `dbt-server-${index}`, url })),
      { name: "dbt", url: server.url, isLabelled: true },
    ],
  });
  assert.deepEqual(await looked.detect(), {
    ...{ url: server.url, access: { front: true, own: false, isOurs: true } },
    isDoubtful: false,
  });
  assert.deepEqual(shownTokens(decoys), []);
  assert.deepEqual(
    server.seen.map(({ headers }) => headers["authorization"]),
    [undefined, `Bearer ${TOKEN}`],
  );
  // With a label answered for, the others were not even woken up.
  assert.equal(decoys.flatMap(({ seen }) => seen).length, 0);
});

test("a labelled service that says nonsense, sends elsewhere, or refuses even with a token is none", async () => {
  const kinds = [
    SERVICES.website,
    SERVICES.boaster,
    SERVICES.redirect,
    SERVICES.broken,
    SERVICES.cut,
    SERVICES.endless,
  ];
  const decoys = await Promise.all(kinds.map((kind) => service(kind)));
  const refusing = await service(SERVICES.wantsToken);
  const looked = await scene({
    services: [...decoys, refusing].map(({ url }, index) => ({ name: `s${index}`, url, isLabelled: true })),
  });
  await fails(
    looked.detect(),
    /none of the 7 Cloud Run services of shop/,
    /s6 did not let you in.*roles\/run\.invoker/,
  );
  assert.deepEqual(shownTokens(decoys), []);
});

test("an unlabelled service that wants a token gets one only where the user agrees", async () => {
  const server = await service(SERVICES.behindIam(() => TOKEN));
  const other = await service(SERVICES.wantsToken);
  const services = [
    { name: "my-dbt", url: server.url },
    { name: "shop-front", url: other.url },
  ];
  const silent = await scene({ services });
  await fails(silent.detect(), /2 services did not say.*--update-labels dbt-server=true/, /--trust-server/);
  const no = await scene({ services, answer: "n" });
  await fails(no.detect());
  assert.match(no.asked(), /my-dbt .*has no label dbt-server=true.*Show it\?/);
  assert.deepEqual(shownTokens([server, other]), []);
  const yes = await scene({ services, answer: "y" });
  assert.equal((await yes.detect()).url, server.url);
  const ci = await scene({ services, flags: { trustServer: ["true"] } });
  assert.equal((await ci.detect()).url, server.url);
  assert.deepEqual(shownTokens([other]), []);
});

test("a service without the label that says it is a dbt-server learns no more before the user agrees", async () => {
  const refusal = { error: { code: "unauthorized", message: "no", details: { auth: "oidc" } } };
  const server = await service(({ url, headers }) => {
    if (url === "/check") return SERVICES.dbtServer();
    return headers["authorization"] === undefined ? { status: 401, body: refusal } : { body: {} };
  });
  const services = [{ name: "dbt", url: server.url }];
  for (const account of ["ada@example.org", "ci@shop.iam.gserviceaccount.com"]) {
    const silent = await scene({ services, gcloud: { account } });
    await assert.rejects((await silent.find()).server(), /was not seen to be your own/);
  }
  const own = await scene({ services, env: { DBT_SERVER_TOKEN: "my-own-token" } });
  await assert.rejects((await own.find()).server(), /was not seen to be your own/);
  assert.deepEqual(shownTokens([server]), []);
  const agreed = await scene({ services, answer: "y" });
  await (await agreed.find()).server();
  const labelled = await scene({ services: services.map((each) => ({ ...each, isLabelled: true })) });
  await (await labelled.find()).server();
});

test("the choice is kept where the user agrees, and not asked about again where not", async () => {
  const server = await service(SERVICES.dbtServer);
  const services = [{ name: "dbt", url: server.url, isLabelled: true }];
  const no = await scene({ services, answer: "n" });
  await no.detect();
  assert.match(no.asked(), /Found the dbt-server dbt .*from now on/);
  const again = await scene({ services, answer: "n", home: no.home });
  await again.detect();
  assert.equal(again.asked(), "");
  assert.ok(again.api.seen.length > 0);
  const yes = await scene({ services, answer: "y" });
  await yes.detect();
  const kept = await scene({ services, home: yes.home });
  assert.equal((await kept.detect()).url, server.url);
  assert.equal(kept.api.seen.length, 0);
  const elsewhere = await scene({ services, home: yes.home, flags: { location: ["europe-west1"] } });
  await elsewhere.detect();
  assert.ok(elsewhere.api.seen.length > 0, "another place is another choice");
  const flag = await scene({ services, flags: { trustServer: ["true"] } });
  await flag.detect();
  assert.match(readFileSync(join(flag.home, ".config/dbt-remote/trusted.json"), "utf8"), /"google-cloud:shop"/);
});

test("a kept server that is gone is looked for anew", async () => {
  let isGone = false;
  const server = await service(() => (isGone ? { status: 404, body: "<html>" } : SERVICES.dbtServer()));
  const first = await scene({ services: [{ name: "dbt", url: server.url }], flags: { trustServer: ["true"] } });
  await first.detect();
  isGone = true;
  const moved = await service(SERVICES.dbtServer);
  const second = await scene({ services: [{ name: "dbt", url: moved.url }], home: first.home });
  assert.equal((await second.detect()).url, moved.url);
});

test("regions that can't be asked at once are asked each", async () => {
  const server = await service(SERVICES.dbtServer);
  const looked = await scene({
    services: [
      { name: "a", url: (await service(SERVICES.website)).url, region: "us-east1" },
      { name: "b", url: server.url, region: "asia-east1" },
    ],
    api: { isPerRegion: true },
  });
  assert.equal((await looked.detect()).url, server.url);
  const one = await scene({ services: [], flags: { location: ["us-east1"], projectId: ["shop"] } });
  await fails(one.detect(), /shop in us-east1 has no Cloud Run services/);
  assert.match(one.api.seen[0]?.url ?? "", /locations\/us-east1\/services/);
});

test("a region that can't be asked now is not taken for empty", async () => {
  const [server, website] = [await service(SERVICES.dbtServer), await service(SERVICES.website)];
  const services = [
    { name: "a", url: website.url, region: "us-east1" },
    { name: "b", url: server.url, region: "asia-east1" },
  ];
  const missed = await scene({ services, api: { isPerRegion: true, failingRegion: "asia-east1" } });
  await fails(missed.detect(), /services of shop can't be listed: .*locations\/asia-east1 with 503: unavailable/);
  const found = await scene({ services, api: { isPerRegion: true, failingRegion: "us-east1" } });
  assert.equal((await found.detect()).url, server.url);
});

test("many services that hang do not hold it up: the deadline is for everything", async () => {
  const server = await service(SERVICES.dbtServer);
  const silent = await Promise.all(Array.from({ length: 50 }, () => service(SERVICES.silent)));
  const hanging = silent.map(({ url }, index) => ({ name: `s${index}`, url, isLabelled: index < 45 }));
  const looked = await scene({ services: [...hanging, { name: "dbt", url: server.url }] });
  assert.equal((await looked.detect(2_200)).url, server.url);
  assert.ok(DEADLINE_MS < 3_000);
  const alone = await scene({ services: hanging });
  await fails(alone.detect(2_200), /s0, .*s44 did not answer in time and may be starting/);
});

test("a server behind Cloud Run that is only starting is waited for", async () => {
  let starts = 0;
  const behind = SERVICES.behindIam(() => TOKEN);
  const server = await service((request) => {
    if (request.headers["authorization"] === undefined) return behind(request);
    starts += 1;
    return starts === 1 ? SERVICES.silent(request) : behind(request);
  });
  const services = [{ name: "dbt", url: server.url, isLabelled: true }];
  assert.equal((await (await scene({ services })).detect(2_200)).url, server.url);
  assert.equal(starts, 2);
  const never = await service((request) =>
    request.headers["authorization"] === undefined ? behind(request) : SERVICES.silent(request),
  );
  const waiting = await scene({ services: [{ name: "dbt", url: never.url, isLabelled: true }] });
  await fails(waiting.detect(2_200, 300), /dbt did not answer in time and may be starting/);
});

test("where no token can be had, the reason is said, unless another service is the server", async () => {
  const wanting = { name: "dbt", url: (await service(SERVICES.wantsToken)).url, isLabelled: true };
  const gcloud = { identityToken: "" };
  const alone = await scene({ services: [wanting], gcloud });
  await assert.rejects(alone.detect(), /there is no account/);
  const open = await service(SERVICES.dbtServer);
  const both = await scene({ services: [wanting, { name: "b", url: open.url, isLabelled: true }], gcloud });
  assert.equal((await both.detect()).url, open.url);
});

test("gcloud or Google that hang are given up, and said", async () => {
  const looked = await scene({ services: [], api: { refusal: { fault: "silence" } } });
  await fails(looked.detect(1_200), /did not list the services of shop in time/);
});

test("several are listed with what to type", async () => {
  const [a, b] = [await service(SERVICES.dbtServer), await service(SERVICES.dbtServer)];
  const looked = await scene({
    services: [
      { name: "one", url: a.url },
      { name: "two", url: b.url, region: "us-east1" },
    ],
  });
  await fails(
    looked.detect(),
    /choose one/,
    new RegExp(`--server-url ${a.url} +\\(one, europe-west1\\)`),
    new RegExp(`--server-url ${b.url} +\\(two, us-east1\\)`),
  );
});

test("a refusal of Google's names the role; an unknown project is said", async () => {
  const denied = { status: 403, body: { error: { message: "Permission run.services.list denied" } } };
  const looked = await scene({ services: [], api: { refusal: denied } });
  await fails(looked.detect(), /run\.services\.list denied/, /roles\/run\.viewer on shop/);
  await fails(
    (await scene({ services: [], env: { PROJECT_ID: "other" } })).detect(),
    /other can't be listed: .*no such project/,
  );
});

test("no gcloud: said at once, with the ways to configure", async () => {
  const looked = await scene({ services: [], env: { PATH: "/nonexistent", CLOUDSDK_CONFIG: "/nonexistent" } });
  const ways = [/--server-url URL/, /DBT_SERVER_URL=URL/, /config set server_url URL/, /--project-id ID/];
  await fails(looked.find(), /gcloud is not installed/, ...ways);
  const named = await scene({ services: [], env: { PATH: "/nonexistent", PROJECT_ID: "shop" } });
  await fails(named.find(), /no credentials were found for the Google Cloud project shop/);
  const gone = await scene({ services: [], env: { CLOUDSDK_CORE_PROJECT: "shop" }, gcloud: { accessToken: "" } });
  await fails(
    gone.find(),
    /found on this machine, and the Cloud Run services of shop can't be listed: .*no account/,
    /gcloud auth login/,
  );
  const unset = await scene({ services: [], gcloud: { project: "" } });
  await fails(unset.find(), /gcloud has no project to look in/, /gcloud config set project/);
});
