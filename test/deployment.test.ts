/** Holds what is deployed to what the programs read: names of variables, roles, the label, the envelopes' prefix. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SERVER_OPTIONS } from "../src/server/options.ts";
import { root } from "./folders.ts";
import { startService } from "./service-fixture.ts";

const read = (path: string): string => readFileSync(join(root, path), "utf8");
const textsIn = (folder: string): string =>
  readdirSync(join(root, folder), { encoding: "utf8" })
    .filter((name) => !/\.test\.ts$/.test(name) && /\.(ts|tf)$/.test(name))
    .map((name) => read(join(folder, name)))
    .join("\n");
const all = (text: string, pattern: RegExp): string[] =>
  [...new Set([...text.matchAll(pattern)].map(([, found = ""]) => found))].sort();

const terraform = textsIn("deploy/terraform");
const page = read("docs/deploy-google-cloud.md");
const dockerfile = read("Dockerfile");

/** What a program of the image reads of its environment. */
const known = new Set([
  ...Object.values(SERVER_OPTIONS).flatMap((option) => ("env" in option ? [option.env] : [])),
  ...all(textsIn("src/job"), /"((?:DBT_JOB|DBT_SERVER)_[A-Z_]+|PROJECT_ID|LOCATION|BUCKET_NAME|FIRESTORE_DATABASE)"/g),
]);

test("variables that are set are variables that are read", () => {
  const set = {
    Dockerfile: all(dockerfile.replace(/^ARG .*$/gm, ""), /\b(DBT_[A-Z_]+)=/g),
    terraform: all(terraform, /\b(DBT_(?:SERVER|JOB)_[A-Z_]+|[A-Z]+_(?:ID|NAME|DATABASE)|LOCATION) += /g),
    page: all(page, /\b(DBT_(?:SERVER|JOB)_[A-Z_]+)\b/g),
  };
  assert.ok(set.Dockerfile.length >= 2 && set.terraform.length >= 9 && set.page.length >= 7, JSON.stringify(set));
  for (const [where, names] of Object.entries(set)) {
    for (const name of names) assert.ok(known.has(name), `${where} sets ${name}, which nothing reads`);
  }
  for (const name of ["DBT_SERVER_STATE", "PROJECT_ID", "LOCATION", "BUCKET_NAME", "FIRESTORE_DATABASE"]) {
    assert.ok(set.terraform.includes(name) && page.includes(`${name}=`), name);
  }
});

test("Terraform and gcloud give the same roles, each of which the docs explain", () => {
  const roles = /"?(roles\/[a-zA-Z.]+)/g;
  const [byTerraform, byHand] = [all(terraform, roles), all(page.split("## What to know")[0] ?? "", roles)];
  assert.deepEqual(
    byTerraform,
    byHand.filter((role) => role !== "roles/owner"),
  );
  const explained = ["identity", "jobs", "state"].map((name) => read(`docs/google-cloud-${name}.md`)).join("\n");
  for (const role of byTerraform) assert.ok(explained.includes(role) || role.startsWith("roles/bigquery."), role);
  const apis = /([a-z]+\.googleapis\.com)/g;
  for (const api of all(terraform, apis)) assert.ok(page.includes(api), api);
});

test("Terraform and gcloud agree with the code on label, prefix, programs and the tick", async () => {
  const envelopes = /const PREFIX = "([a-z]+\/)"/.exec(read("src/state/gcp/envelopes.ts"))?.[1];
  const label = /service_labels += \{ "([a-z-]+)" = "true" \}/.exec(terraform);
  const detection = textsIn("src/cli/detect") + textsIn("src/gcp");
  assert.ok(envelopes !== undefined && terraform.includes(`["${envelopes}"]`) && page.includes(`["${envelopes}"]`));
  assert.ok(detection.includes(label?.[1] ?? "no label") && page.includes(`--labels=${label?.[1]}=true`));
  for (const text of [terraform, page]) {
    assert.match(text, /max[_-]retries *= *0\b/);
    assert.match(text, /soft-delete-duration=0|retention_duration_seconds = 0/);
    assert.match(text, /command *= *\[?"?dbt-job/);
    assert.match(text, /\/api\/v1\/reconcile/);
  }
  // The tick as Cloud Scheduler sends it.
  const server = await startService({ started: false });
  try {
    const headers = { "content-type": "application/json", "x-cloudscheduler-jobname": "dbt-server-tick" };
    const answer = await server.send({ method: "POST", url: "/api/v1/reconcile", headers, payload: "{}" });
    assert.deepEqual([answer.statusCode, answer.json()], [200, { running: 0, pending: 0 }]);
  } finally {
    await server.stop();
  }
});

test("the image has the Node and the dbt that the tests use, and all that the build reads", () => {
  const lock = JSON.parse(read("package-lock.json")) as { packages: Record<string, { version: string }> };
  assert.equal(/NODE_IMAGE=node:([\d.]+)-/.exec(dockerfile)?.[1], lock.packages["node_modules/node"]?.version);
  const [major, minor] = (/DBT_CORE=([\d.]+)/.exec(dockerfile)?.[1] ?? "").split(".");
  assert.ok(read("scripts/requirements.txt").includes(`dbt-core>=${major}.${minor},`));
  assert.match(dockerfile, /^USER \d+$/m);
  const kept = all(read(".dockerignore"), /^!(.+)$/gm);
  const copied = all(dockerfile, /^COPY (?!--from)(.*) \S+$/gm).flatMap((line) => line.split(" "));
  for (const name of ["scripts", "src", "tsconfig.json", ...copied.filter((each) => each !== ".")]) {
    assert.ok(kept.includes(name), name);
  }
  for (const program of ["server", "job", "cli"]) {
    assert.ok(dockerfile.includes(`/opt/dbt-remote/dist/${program}/main.js`), program);
  }
});
