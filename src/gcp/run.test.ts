import assert from "node:assert/strict";
import { test } from "node:test";
import { startHttpStandIn } from "../../test/http-stand-in.ts";
import { connectRun } from "./run.ts";

const PARENT = "projects/p/locations/l";

test("the Run API: pages, what is left out, what is not there", async (context) => {
  const server = await startHttpStandIn(({ url, method }) => {
    const { pathname, searchParams } = new URL(url, "http://x");
    if (pathname === `/v2/${PARENT}/services`) {
      return searchParams.get("pageToken") === null
        ? { body: { services: [{ name: `${PARENT}/services/a` }], nextPageToken: "t 2" } }
        : { body: { services: [{ name: `${PARENT}/services/b`, uri: "https://b" }] } };
    }
    if (pathname.endsWith(":getIamPolicy")) return { body: {} };
    if (pathname.endsWith(":cancel")) return { status: 400, body: { error: { message: "already completed" } } };
    if (method === "POST")
      return { body: { name: "operations/o", metadata: { name: `${PARENT}/jobs/j/executions/e` } } };
    return { status: 404, body: { error: { message: "not found" } } };
  });
  context.after(() => server.close());
  const client = connectRun({
    env: { CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: `${server.url}/` },
    ...{ home: "/", now: Date.now, tokens: { get: async () => "ya29.x", renew: () => false } },
  });
  const services = await client.listServices(PARENT);
  assert.deepEqual(
    services.map(({ name }) => name?.split("/").at(-1)),
    ["a", "b"],
  );
  assert.deepEqual(await client.getServicePolicy(`${PARENT}/services/a`), {});
  assert.equal(await client.getExecution(`${PARENT}/jobs/j/executions/gone`), undefined);
  assert.equal(await client.getJob(`${PARENT}/jobs/none`), undefined);
  await client.cancelExecution(`${PARENT}/jobs/j/executions/e`);
  const { name } = await client.runJob(`${PARENT}/jobs/j`, {});
  assert.equal(name, `${PARENT}/jobs/j/executions/e`);
  assert.ok(server.seen.every(({ headers }) => headers["authorization"] === "Bearer ya29.x"));
  assert.ok(server.seen.some(({ url }) => url.endsWith("?pageToken=t%202")));
});
