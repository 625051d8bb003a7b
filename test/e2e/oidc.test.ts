import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { gcloudStandIn } from "../gcloud-stand-in.ts";
import { cli, copyProject, machineNode, startServer, type TestServer, tempFolder } from "../harness.ts";
import { startHttpStandIn } from "../http-stand-in.ts";
import { type OidcIssuer, startOidcIssuer } from "../oidc-issuer.ts";
import { startRunApi } from "../run-services.ts";

const GCLOUD = "32555940559.apps.googleusercontent.com";

let issuer: OidcIssuer;
let server: TestServer;
before(async () => {
  issuer = await startOidcIssuer();
  server = await startServer({
    home: tempFolder("home"),
    args: ["--auth", "oidc", "--debug"],
    env: {
      DBT_SERVER_OIDC_ISSUER: issuer.url,
      DBT_SERVER_OIDC_AUDIENCE: `https://dbt.example.org,${GCLOUD}`,
      DBT_SERVER_ALLOWED_EMAILS: "@example.org",
    },
  });
});
after(async () => {
  await server.stop();
  await issuer.close();
});

test("who gcloud says one is may run dbt, is found without a word, and is named; others are told what is missing", async () => {
  const api = await startRunApi([{ name: "dbt", url: server.url, isLabelled: true }]);
  try {
    const nowS = Math.floor(Date.now() / 1000);
    // Over before dbt is: what is followed goes on with a new one.
    const short = issuer.token(GCLOUD, { claims: { iat: nowS, exp: nowS + 5, jti: "first" } });
    const gcloud = gcloudStandIn({ project: "shop", identityToken: short });
    const home = tempFolder("home");
    const cwd = copyProject("tiny");
    const env = {
      ...{ ...gcloud.env, METADATA_SERVER_DETECTION: "none", CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: `${api.url}/` },
      DBT_PROFILES_DIR: copyProject("tiny-profiles"),
    };
    const running = cli(["ls"], { cwd, home, env });
    const timer = setTimeout(() => gcloud.setIdentityToken(issuer.token(GCLOUD, { claims: { jti: "second" } })), 4_000);
    const listed = await running.finally(() => clearTimeout(timer));
    assert.equal(listed.code, 0, listed.stderr);
    assert.match(listed.stdout, /tiny\./);
    const runs = await cli(["runs", "--json", "--all"], { cwd, home, env, node: machineNode() });
    assert.equal(runs.code, 0, runs.stderr);
    const [run] = JSON.parse(runs.stdout) as { requester: unknown }[];
    assert.match(JSON.stringify(run?.requester), /ada@example\.org/);

    const eve = gcloudStandIn({ identityToken: issuer.token(GCLOUD, { claims: { email: "eve@example.com" } }) });
    const other = await cli(["runs", "--project-id", "shop"], {
      cwd,
      home: tempFolder("home"),
      env: { ...env, ...eve.env },
    });
    assert.equal(other.code, 2);
    assert.match(other.stderr, /eve@example\.com may not use this server/);
    const nobody = await cli(["runs"], {
      ...{ cwd, home: tempFolder("home") },
      env: { DBT_SERVER_URL: server.url, METADATA_SERVER_DETECTION: "none", PATH: "/nonexistent" },
    });
    assert.equal(nobody.code, 2);
    assert.match(nobody.stderr, /An ID token is needed.*gcloud auth login/s);

    const said = server.stdout() + server.stderr() + listed.stderr + other.stderr;
    for (const token of [short, readFileSync(`${home}/.cache/dbt-remote/id-tokens.json`, "utf8")]) {
      const [, payload = "none", signature = "none"] = token.split(".");
      assert.ok(!said.includes(payload) && !said.includes(signature));
    }
    assert.match(server.stdout(), /whom the issuer of ID tokens knows/);
  } finally {
    await api.close();
  }
});

test("a service of Cloud Run believes the tokens that Cloud Run has checked, and does not start open to strangers", async () => {
  const policy = { bindings: [{ role: "roles/run.invoker", members: ["group:data@example.org"] }] };
  const google = await startHttpStandIn(({ url }) => {
    if (url.endsWith("/project/project-id")) return { body: "shop" };
    if (url.endsWith("/instance/region")) return { body: "projects/1/regions/europe-west1" };
    if (url.includes("/service-accounts/default/token")) return { body: { access_token: "a", expires_in: 3600 } };
    return { body: url.endsWith(":getIamPolicy") ? policy : {} };
  });
  const env = {
    K_SERVICE: "dbt",
    GCE_METADATA_HOST: new URL(google.url).host,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: `${google.url}/`,
    DBT_SERVER_AUTH: "cloud-run-iam",
  };
  try {
    const iam = await startServer({ home: tempFolder("home"), env });
    const claims = { iss: "https://accounts.google.com" };
    const signed = issuer.token("https://dbt.example.org", { claims });
    const checked = signed.replace(/[^.]*$/, "SIGNATURE_REMOVED_BY_GOOGLE");
    const ask = async (headers: Record<string, string>) =>
      (await fetch(`${iam.url}/api/v1/runs`, { headers, signal: AbortSignal.timeout(10_000) })).status;
    try {
      assert.equal(await ask({ authorization: `Bearer ${checked}` }), 200);
      assert.equal(await ask({ "x-serverless-authorization": `Bearer ${checked}` }), 200);
      assert.equal(await ask({}), 401);
      assert.equal(await ask({ authorization: `Bearer ${signed}` }), 401);
      assert.equal(
        await ask({ authorization: `Bearer ${checked}`, "x-serverless-authorization": `Bearer ${checked}` }),
        401,
      );
    } finally {
      await iam.stop();
    }
    policy.bindings[0]?.members.push("allUsers");
    await assert.rejects(startServer({ home: tempFolder("home"), env }), /lets in allUsers/);
  } finally {
    await google.close();
  }
});
