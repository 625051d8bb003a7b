import assert from "node:assert/strict";
import { test } from "node:test";
import { startHttpStandIn } from "../../test/http-stand-in.ts";
import { createJobHarness, makeProject } from "../../test/job-harness.ts";
import { wakeServer } from "./wake.ts";

test("a job that ends wakes a server where a run waits, and only there", async (context) => {
  const harness = await createJobHarness();
  context.after(() => harness.close());
  const { stores } = harness;
  let status = 200;
  const statuses: number[] = [];
  const server = await startHttpStandIn(() => ({ status: statuses.shift() ?? status, body: {} }));
  context.after(() => server.close());
  const audiences: string[] = [];
  const token = async (audience: string): Promise<string> => {
    audiences.push(audience);
    return "a-token";
  };
  const wake = (url: string | undefined = server.url) => wakeServer({ stores, url, token });

  assert.equal(await wake(), undefined);
  assert.equal(server.seen.length, 0, "nothing waits");
  await harness.post({ project: await makeProject({ "dbt_project.yml": "name: x" }), args: ["run"] });
  assert.equal(await wake(), undefined);
  const [request] = server.seen;
  assert.deepEqual([request?.method, request?.url], ["POST", "/api/v1/reconcile"]);
  assert.equal(request?.headers["authorization"], "Bearer a-token");
  assert.deepEqual(audiences, [server.url]);
  assert.equal(await wakeServer({ stores, url: undefined, token }), undefined);
  statuses.push(503, 429);
  assert.equal(await wake(), undefined);
  assert.equal(server.seen.length, 4, "what may pass is tried again");
  status = 403;
  assert.match((await wake()) ?? "", /was not woken: it answered 403/);
  await server.close();
  assert.match((await wake()) ?? "", /was not woken/);
});
