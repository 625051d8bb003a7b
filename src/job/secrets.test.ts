import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copyProject } from "../../test/folders.ts";
import { startHttpStandIn } from "../../test/http-stand-in.ts";
import { createJobHarness, filesHolding, PROFILE } from "../../test/job-harness.ts";
import { projectFiles, startService } from "../../test/service-fixture.ts";
import { EMPTY_ENVELOPE } from "../core/envelope.ts";
import { withSecrets } from "./secrets.ts";

const TOKEN = "a-token-that-only-jobs-know";

test("profiles and values come from secrets in place of what was sent, and are secret", async () => {
  const readSecret = async (name: string) => `text of ${name}\n`;
  const envelope = { ...EMPTY_ENVELOPE, profiles: "client's", env: { TOKEN: "sent", A: "1" } };
  const params = { profilesSecret: "profiles", secretEnv: { TOKEN: "token" }, readSecret };
  const server = await withSecrets(envelope, { ...params, run: { profileFrom: "server" } });
  assert.equal(server.profiles, "text of profiles\n");
  assert.deepEqual(server.env, { TOKEN: "text of token", A: "1" });
  assert.deepEqual(server.secretNames, ["TOKEN"]);
  const none = await withSecrets(envelope, { ...params, run: { profileFrom: "none" } });
  assert.equal(none.profiles, "client's");
  const run = { profileFrom: "server" } as const;
  await assert.rejects(withSecrets(envelope, { ...params, run, readSecret: undefined }), { code: "bad_argument" });
  assert.equal(await withSecrets(envelope, { run, profilesSecret: undefined, secretEnv: {}, readSecret }), envelope);
});

test("a job reads its profile and a token from Secret Manager, and nothing of them is kept", {
  timeout: 240_000,
}, async () => {
  const text = (name: string): string =>
    name === "dbt-profiles" ? `${PROFILE}# planted-in-the-profile\n` : `${TOKEN}\n`;
  const google = await startHttpStandIn(({ url }) => {
    const name = /\/secrets\/([^/]+)\//.exec(url)?.[1] ?? "";
    return { body: { payload: { data: Buffer.from(text(name)).toString("base64") } } };
  });
  const harness = await createJobHarness();
  try {
    const project = copyProject("tiny");
    writeFileSync(join(project, "models/told.sql"), "select '{{ env_var(\"WAREHOUSE_TOKEN\") }}' as told");
    const env = {
      PROJECT_ID: "p",
      CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: `${google.url}/`,
      DBT_SERVER_PROFILES_SECRET: "dbt-profiles",
      DBT_SERVER_SECRET_ENV: "WAREHOUSE_TOKEN=projects/q/secrets/token",
    };
    const run = await harness.run(
      { project, args: ["compile", "-s", "told"], profileFrom: "server", envelope: {} },
      { env },
    );
    const log = await harness.text(run.id);
    assert.equal(run.status, "success", log);
    assert.match(log, /select '\*\*\*\*\*' as told/);
    assert.deepEqual(google.seen.map(({ url }) => url).sort(), [
      "/v1/projects/p/secrets/dbt-profiles/versions/latest:access",
      "/v1/projects/q/secrets/token/versions/latest:access",
    ]);
    for (const planted of [TOKEN, "planted-in-the-profile"])
      assert.deepEqual(filesHolding(harness.dataDir, planted), []);
  } finally {
    await harness.close();
    await google.close();
  }
});

test("a server whose profiles are a secret takes none from clients", async () => {
  const server = await startService({ started: false, settings: { profilesSecret: "dbt-profiles" } });
  try {
    const { run } = await server.post({ command: ["run"], files: projectFiles() });
    assert.equal(run.profileFrom, "server");
    assert.equal((await server.send({ url: "/api/v1/server" })).json().profiles, "server");
    assert.equal((await server.state.envelopes.take(run.id))?.["profiles"], null);
  } finally {
    await server.stop();
  }
});
