/** Every interface of Google's that is asked over HTTP: how each is asked, and what it answers where all is well. */
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createAccessTokens } from "../src/gcp/auth.ts";
import { findSigner } from "../src/gcp/find-signer.ts";
import { findIdTokens } from "../src/gcp/id-tokens.ts";
import { readOwnService } from "../src/gcp/own-service.ts";
import { createRest } from "../src/gcp/rest.ts";
import type { RetryPolicy } from "../src/gcp/retry.ts";
import { connectRun, type RunClient } from "../src/gcp/run.ts";
import { listServices } from "../src/gcp/run-services.ts";
import { connectSecretManager } from "../src/gcp/secret-manager.ts";
import { createStorage, type Storage } from "../src/gcp/storage.ts";
import { tempFolder } from "./folders.ts";
import { unsignedToken } from "./gcloud-stand-in.ts";
import type { StandInAnswer } from "./http-stand-in.ts";

const SILENCE_MS = 1_000;

/** No client waits as long for an answer as it does where it is not tested. */
const hurried = ((url: string, init: RequestInit = {}) => {
  const limit = AbortSignal.timeout(SILENCE_MS);
  return fetch(url, { ...init, signal: init.signal == null ? limit : AbortSignal.any([init.signal, limit]) });
}) as typeof fetch;

const PLACE = "projects/p/locations/l";
const EXECUTION = `${PLACE}/jobs/j/executions/e`;
const ALIVE = { name: EXECUTION, runningCount: 1 };
const JOB = { name: `${PLACE}/jobs/j` };
const EMAIL = "job@p.iam.gserviceaccount.com";
const ID_TOKEN = unsignedToken(3_600_000);
const OBJECT = { name: "o", size: "3", generation: "7", metageneration: "1", updated: "2026-01-01T00:00:00Z" };

/** What Google answers where all is well. */
export function wellAnswered(url: string): StandInAnswer {
  const { pathname } = new URL(url, "http://google");
  const metadata = "/computeMetadata/v1/";
  const bodies: readonly (readonly [RegExp | string, string | object])[] = [
    [`${metadata}instance/service-accounts/default/token`, { access_token: "access", expires_in: 3600 }],
    [`${metadata}instance/service-accounts/default/identity`, ID_TOKEN],
    [`${metadata}instance/service-accounts/default/email`, EMAIL],
    [`${metadata}project/project-id`, "p"],
    [`${metadata}instance/region`, "projects/1/regions/l"],
    ["/sts", { access_token: "federated", expires_in: 3600 }],
    ["/token", { access_token: "access", id_token: ID_TOKEN, expires_in: 3600 }],
    [/:generateIdToken$/, { token: ID_TOKEN }],
    [/:generateAccessToken$/, { accessToken: "acting", expireTime: new Date(Date.now() + 3_600_000).toISOString() }],
    [/:signBlob$/, { signedBlob: Buffer.from("signed").toString("base64") }],
    [/:access$/, { payload: { data: Buffer.from("a secret").toString("base64") } }],
    [/\/jobs\/j:run$/, { name: "operations/o", metadata: { name: EXECUTION } }],
    [/:cancel$/, {}],
    [/\/tasks$/, { tasks: [{ name: "t" }] }],
    [/\/executions\/e$/, ALIVE],
    [/\/jobs$/, { done: true }],
    [/\/jobs\/j$/, JOB],
    [/:getIamPolicy$/, { bindings: [{ members: ["user:ada@example.org"] }] }],
    [/\/locations\/l\/services$/, { services: [{ name: `${PLACE}/services/s` }] }],
    ["/v1/projects/p/locations", { locations: [{ locationId: "l" }] }],
    [/\/services\/s$/, { name: `${PLACE}/services/s` }],
    ["/upload/storage/v1/b/b/o", OBJECT],
    [/\/storage\/v1\/b\/b\/o\/o$/, OBJECT],
    [/\/storage\/v1\/b\/b\/o$/, { items: [OBJECT] }],
    ["/x", { a: 1 }],
  ];
  if (pathname.endsWith("/locations/-/services")) return { status: 400, body: { error: { message: "bad location" } } };
  const [, body] = bodies.find(([of]) => (typeof of === "string" ? of === pathname : of.test(pathname))) ?? [];
  return body === undefined ? { status: 404 } : { body };
}

export interface Given {
  /** Of the stand-in. */
  readonly url: string;
  /** For whoever runs on a machine of Google's. */
  readonly env: Readonly<Record<string, string>>;
  readonly retry: RetryPolicy;
}

export interface GoogleCase {
  readonly name: string;
  /** The requests that go wrong. */
  readonly of: RegExp;
  readonly ask: (given: Given) => Promise<unknown>;
  readonly wanted: unknown;
  /** What an error that lasts says. */
  readonly says: RegExp;
  /** An answer that is no JSON is none. */
  readonly isJson: boolean;
}

const common = { home: "/nonexistent", now: Date.now, fetch: hurried };
const tokens = { get: async () => "access", renew: () => false };
const withFile = (content: object): Record<string, string> => {
  const path = join(tempFolder("adc"), "credentials.json");
  writeFileSync(path, JSON.stringify(content));
  return { GOOGLE_APPLICATION_CREDENTIALS: path };
};
const outer = join(tempFolder("outer"), "token");
writeFileSync(outer, "outer");
const workload = ({ url }: Given) =>
  withFile({
    ...{ type: "external_account", audience: "//iam/x", subject_token_type: "jwt", token_url: `${url}/sts` },
    credential_source: { file: outer },
    service_account_impersonation_url: `${url}/v1/projects/-/serviceAccounts/${EMAIL}:generateAccessToken`,
  });
const { privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  ...{ publicKeyEncoding: { type: "spki", format: "pem" }, privateKeyEncoding: { type: "pkcs8", format: "pem" } },
});
const ownKey = ({ url }: Given) =>
  withFile({ type: "service_account", client_email: EMAIL, private_key: privateKey, token_uri: `${url}/token` });

/** Something of Google's that takes an access token. */
async function withToken({ url, retry }: Given, env: Record<string, string>): Promise<unknown> {
  const rest = createRest({ tokens: createAccessTokens({ ...common, env }), retry, fetch: hurried });
  const answer = await rest.request({ method: "GET", url: `${url}/x`, doing: "asking", needs: "nothing" });
  return answer.json();
}

async function idToken({ retry }: Given, env: Record<string, string>): Promise<unknown> {
  const cachePath = join(tempFolder("cache"), "id-tokens.json");
  return (await findIdTokens({ ...common, env: { PATH: "", ...env }, cachePath, retry }))?.get("https://dbt.run.app");
}

async function signature({ env, retry }: Given): Promise<unknown> {
  const signer = await findSigner({ ...common, env, retry, rest: createRest({ retry, fetch: hurried }) });
  return signer && [signer.email, String(await signer.sign("text"))];
}

const own = ({ env, retry }: Given) => readOwnService({ ...common, env, tokens, retry, service: "s" });
const OWN = { members: ["user:ada@example.org"], isCheckDisabled: false };

const metadataRow = { says: /metadata server \(127\.0\.0\.1:\d+\)/, isJson: false };
const tokenRow = { wanted: ID_TOKEN, says: /127\.0\.0\.1:\d+ /, isJson: true };
export const GOOGLE_CASES: readonly GoogleCase[] = [
  {
    ...{ name: "metadata server: access token", of: /default\/token$/, ...metadataRow, wanted: { a: 1 }, isJson: true },
    ask: (given) => withToken(given, given.env),
    says: /metadata server/,
  },
  {
    ...{ name: "metadata server: ID token", of: /default\/identity/, ...metadataRow, wanted: ID_TOKEN },
    ask: (given) => idToken(given, given.env),
  },
  { name: "metadata server: project", of: /project\/project-id$/, ...metadataRow, ask: own, wanted: OWN },
  {
    ...{ name: "metadata server: own account", of: /default\/email$/, ...metadataRow },
    ...{ ask: signature, wanted: [EMAIL, "signed"] },
  },
  {
    ...{ name: "IAM Credentials: generateIdToken", of: /:generateIdToken$/, ...tokenRow },
    ask: (given) => idToken(given, workload(given)),
  },
  {
    ...{ name: "IAM Credentials: generateAccessToken", of: /:generateAccessToken$/, ...tokenRow, wanted: { a: 1 } },
    ask: (given) => withToken(given, workload(given)),
  },
  {
    ...{ name: "IAM Credentials: signBlob", of: /:signBlob$/, ask: signature, wanted: [EMAIL, "signed"] },
    ...{ says: /signing a download/, isJson: true },
  },
  {
    ...{ name: "token exchange (STS)", of: /^\/sts$/, ...tokenRow },
    ask: (given) => idToken(given, workload(given)),
  },
  {
    ...{ name: "token for a key", of: /^\/token$/, ...tokenRow },
    ask: (given) => idToken(given, ownKey(given)),
  },
  {
    ...{ name: "Secret Manager", of: /:access$/, wanted: "a secret", says: /reading the secret s/, isJson: true },
    ask: ({ env, retry }) => connectSecretManager({ ...common, env, projectId: "p", retry })("s"),
  },
  ...ofRun("jobs.run", /:run$/, (run) => run.runJob(JOB.name, {}), { name: EXECUTION }, /launching the Job/),
  ...ofRun("executions.get", /\/executions\/e$/, (run) => run.getExecution(EXECUTION), ALIVE, /reading the execution/),
  ...ofRun("executions.cancel", /:cancel$/, (run) => run.cancelExecution(EXECUTION), undefined, /cancelling the exec/),
  ...ofRun("tasks.list", /\/tasks$/, (run) => run.listTasks(EXECUTION), [{ name: "t" }], /listing the tasks/),
  ...ofRun("jobs.get", /\/jobs\/j$/, (run) => run.getJob(JOB.name), JOB, /reading the Job/),
  ...ofRun("jobs.create", /\/jobs\?/, (run) => run.createJob(JOB.name, {}), undefined, /making the Job/),
  { name: "Run: getIamPolicy", of: /:getIamPolicy$/, ask: own, wanted: OWN, says: /who may call/, isJson: true },
  { name: "Run: services.get", of: /\/services\/s$/, ask: own, wanted: OWN, says: /reading the service/, isJson: true },
  ...["l", undefined].map((location): GoogleCase => {
    const of = location === undefined ? /^\/v1\/projects\/p\/locations$/ : /\/services$/;
    return {
      ...{ name: `Run: ${location === undefined ? "locations.list" : "services.list"}`, of, isJson: true },
      ask: async ({ url, retry }) => {
        const rest = createRest({ tokens, retry, fetch: hurried });
        return (await listServices({ rest, projectId: "p", location, baseUrl: url })).services;
      },
      ...{ wanted: [{ name: `${PLACE}/services/s` }], says: /listing the (?:services|regions)/ },
    };
  }),
  ...ofStorage("objects.get", /\/o\/o\?/, async (storage) => (await storage.stat("o"))?.size, 3, /looking at o/),
  ...ofStorage("objects.list", /\/o\?prefix/, async (all) => (await all.list({ prefix: "o" })).length, 1, /listing o/),
  ...ofStorage(
    "objects.insert",
    /^\/upload/,
    async (all) => (await all.put("o", Buffer.from("abc")))?.size,
    3,
    /writing/,
  ),
];

function ofRun(
  name: string,
  of: RegExp,
  ask: (run: RunClient) => Promise<unknown>,
  wanted: unknown,
  says: RegExp,
): readonly GoogleCase[] {
  const asked = ({ env, retry }: Given) => ask(connectRun({ ...common, env, tokens, retry }));
  return [{ name: `Run: ${name}`, of, ask: asked, wanted, says, isJson: true }];
}

function ofStorage(
  name: string,
  of: RegExp,
  ask: (storage: Storage) => Promise<unknown>,
  wanted: unknown,
  says: RegExp,
): readonly GoogleCase[] {
  const asked = ({ url, retry }: Given) =>
    ask(createStorage({ rest: createRest({ tokens, retry, fetch: hurried }), bucket: "b", baseUrl: url }));
  return [{ name: `Cloud Storage: ${name}`, of, ask: asked, wanted, says, isJson: name === "objects.list" }];
}
