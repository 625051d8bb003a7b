import assert from "node:assert/strict";
import { test } from "node:test";
import { type StandInAnswer, startHttpStandIn } from "../../test/http-stand-in.ts";
import { AppError } from "../core/errors.ts";
import { readOwnService } from "../gcp/own-service.ts";
import { openAuth } from "./open-auth.ts";

const NAME = "/v2/projects/my-project/locations/europe-west1/services/dbt";

interface Given {
  readonly policy: StandInAnswer;
  readonly service?: object;
}

/** Opens the check of a server that is the service `dbt`; resolves to what it said. */
async function open({ policy, service = {} }: Given): Promise<{ kind: string; said: string }> {
  const google = await startHttpStandIn(({ url, headers }): StandInAnswer => {
    if (url.startsWith("/computeMetadata/")) {
      assert.equal(headers["metadata-flavor"], "Google");
      if (url.endsWith("/project/project-id")) return { body: "my-project" };
      if (url.endsWith("/instance/region")) return { body: "projects/123/regions/europe-west1" };
      return { body: { access_token: "access", expires_in: 3600 } };
    }
    assert.equal(headers["authorization"], "Bearer access");
    if (url === `${NAME}:getIamPolicy`) return policy;
    return url === NAME ? { body: service } : { status: 404 };
  });
  const { host } = new URL(google.url);
  const env = { K_SERVICE: "dbt", GCE_METADATA_HOST: host, CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: `${google.url}/` };
  const said: string[] = [];
  try {
    const auth = await openAuth({
      settings: {
        ...{ auth: "cloud-run-iam", token: undefined },
        identity: { issuers: [], audiences: [], jwksUrl: undefined, allowed: [] },
      },
      localToken: undefined,
      env,
      readService: (name) => readOwnService({ env, home: "/nonexistent", now: Date.now, service: name }),
      now: Date.now,
      say: (line) => said.push(line),
    });
    return { kind: auth.kind, said: said.join("\n") };
  } finally {
    await google.close();
  }
}

const bindings = (...members: string[]) => ({ body: { bindings: [{ role: "roles/run.invoker", members }] } });

test("a service that lets in only known people starts without a word", async () => {
  const started = await open({ policy: bindings("user:ada@example.org", "domain:example.org") });
  assert.deepEqual(started, { kind: "cloud-run-iam", said: "" });
  assert.equal((await open({ policy: { body: {} } })).said, "");
});

test("a service that lets in strangers does not start", async () => {
  const refuses = (given: Given, why: RegExp) =>
    assert.rejects(
      open(given),
      (error) =>
        error instanceof AppError && error.code === "bad_argument" && why.test(`${error.message} ${error.hint}`),
    );
  await refuses({ policy: bindings("user:ada@example.org", "allUsers") }, /lets in allUsers.*--member allUsers/);
  await refuses({ policy: bindings("allAuthenticatedUsers") }, /lets in allAuthenticatedUsers/);
  await refuses({ policy: bindings(), service: { invokerIamDisabled: true } }, /--invoker-iam-check/);
});

test("a policy that can't be read is said, with the role that is missing", async () => {
  const denied = { status: 403, body: { error: { message: "Permission run.services.getIamPolicy denied" } } };
  const { kind, said } = await open({ policy: denied });
  assert.equal(kind, "cloud-run-iam");
  assert.match(said, /service dbt can't be read: .*getIamPolicy denied.*roles\/run\.viewer.*neither allUsers nor/s);
});
