import assert from "node:assert/strict";
import { createPublicKey, createVerify, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { emulatorsMissing, gcpPlace } from "../../test/emulators.ts";
import { tempFolder } from "../../test/folders.ts";
import { startHttpStandIn } from "../../test/http-stand-in.ts";
import { requirePart } from "../../test/require.ts";
import { connectGcp } from "./connect.ts";
import { findSigner } from "./find-signer.ts";
import { createRest } from "./rest.ts";
import { keySigner, signedUrl } from "./signed-url.ts";

/** Of the account whose signatures Google publishes for the tests of its own clients. */
const PUBLISHED_KEY = createPublicKey({
  key: Buffer.from(
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArD8zIqyKLbX0Nq8o0Jj1qHEhHhqO3+0OP7TEFx5Vxc6PdwBoFNrfnJRI/S+ZaDYS1avr5Pqpp8g8+UNOMvI1VsjGM8xjTaxkVv8mmKp6pSmQstTt25pzY1exA2wv4xNWSwWNFNx2kh35+kvTQ/DF3YA9P7pUU1sKur1PP8OoubWLFO59iy5UE5dX0O/3pjvZ2HAhSXsx2VWtB5nlrHR8FrKJNLJMEGEDSMz9yRfQaUeYCU9oDYHuiqKQ3rCXi6C82l+3FJw5/ggJ5y7iw8MErCFSslcYQRbBVz6ZYKWkEcJhs8BG3/16bfaqNusNlDIJ99I7DmipUngF/HEulYhfrQIDAQAB",
    "base64",
  ),
  format: "der",
  type: "spki",
});
const PUBLISHED_EMAIL = "test-iam-credentials@dummy-project-id.iam.gserviceaccount.com";
const CREDENTIAL = "X-Goog-Credential=test-iam-credentials%40dummy-project-id.iam.gserviceaccount.com%2F";

/** Google's published cases that are plain downloads. */
const CASES = [
  {
    at: "2019-02-01T09:00:00Z",
    seconds: 10,
    query: {},
    url: `https://storage.googleapis.com/test-bucket/test-object?X-Goog-Algorithm=GOOG4-RSA-SHA256&${CREDENTIAL}20190201%2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10&X-Goog-SignedHeaders=host`,
    signature:
      "95e6a13d43a1d1962e667f17397f2b80ac9bdd1669210d5e08e0135df9dff4e56113485dbe429ca2266487b9d1796ebdee2d7cf682a6ef3bb9fbb4c351686fba90d7b621cf1c4eb1fdf126460dd25fa0837dfdde0a9fd98662ce60844c458448fb2b352c203d9969cb74efa4bdb742287744a4f2308afa4af0e0773f55e32e92973619249214b97283b2daa14195244444e33f938138d1e5f561088ce8011f4986dda33a556412594db7c12fc40e1ff3f1bedeb7a42f5bcda0b9567f17f65855f65071fabb88ea12371877f3f77f10e1466fff6ff6973b74a933322ff0949ce357e20abe96c3dd5cfab42c9c83e740a4d32b9e11e146f0eb3404d2e975896f74",
  },
  {
    at: "2019-03-01T09:00:00Z",
    seconds: 20,
    query: {},
    url: `https://storage.googleapis.com/test-bucket/test-object?X-Goog-Algorithm=GOOG4-RSA-SHA256&${CREDENTIAL}20190301%2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Date=20190301T090000Z&X-Goog-Expires=20&X-Goog-SignedHeaders=host`,
    signature:
      "9669ed5b10664dc594c758296580662912cf4bcc5a4ba0b6bf055bcbf6f34eed7bdad664f534962174a924741a0c273a4f67bc1847cef20192a6beab44223bd9d4fbbd749c407b79997598c30f82ddc269ff47ec09fa3afe74e00616d438df0d96a7d8ad0adacfad1dc3286f864d924fe919fb0dce45d3d975c5afe8e13af2db9cc37ba77835f92f7669b61e94c6d562196c1274529e76cfff1564cc2cad7d5387dc8e12f7a5dfd925685fe92c30b43709eee29fa2f66067472cee5423d1a3a4182fe8cea75c9329d181dc6acad7c393cd04f8bf5bc0515127d8ebd65d80c08e19ad03316053ea60033fd1b1fd85a69c576415da3bf0a3718d9ea6d03e0d66f0",
  },
  {
    at: "2019-02-01T09:00:00Z",
    seconds: 10,
    query: { soufflé: "=%-_.~" },
    url: `https://storage.googleapis.com/test-bucket/test-object?X-Goog-Algorithm=GOOG4-RSA-SHA256&${CREDENTIAL}20190201%2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10&X-Goog-SignedHeaders=host&souffl%C3%A9=%3D%25-_.~`,
    signature:
      "38dd9ca622b80bca10f405e7d9ba0f0fbea719ca84d66078a484c5b54b1ce98e3fa8a0d2065216ed6ac03179be69312dabf428f8171b95994bdafe465a6f7893bacc7213a7bf4054ce2d78d4b60c34df24cc43e509ad7c81be47148d43a0e67d50d8fe38c85b0c63f9a51149b4f3335315946fef8ab34315ce3f6ce01f1831abb3eda5e7e211823855ed1767c65a8c7aeec357de096e3406897acfe092fead51bbea7df83e25a6180f80c8a0871e4901c370f77f5675f2405be7ccd55fd6dd22a87cf0adfafdb3f6fa99974fcf6c947b62294eebd7954e546c28f5490a6c50694c0e4882fcfe0d4a4ae8891a92579d6099a9b4c84d9f033a3b339163b6670b7e",
  },
];

test("what is signed is what Google's published signatures are of", async () => {
  for (const { at, seconds, query, url, signature } of CASES) {
    const signer = {
      email: PUBLISHED_EMAIL,
      async sign(text: string) {
        assert.ok(createVerify("RSA-SHA256").update(text).verify(PUBLISHED_KEY, signature, "hex"), text);
        return Buffer.from(signature, "hex");
      },
    };
    const place = { baseUrl: "https://storage.googleapis.com", bucket: "test-bucket", name: "test-object" };
    const made = await signedUrl({ signer, ...place, lifetimeMs: seconds * 1000, atMs: Date.parse(at), query });
    assert.equal(made, `${url}&X-Goog-Signature=${signature}`);
  }
});

const { privateKey, publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});

test("slashes of a name stay, all else is encoded; a key signs by itself", async () => {
  const url = await signedUrl({
    ...{ signer: keySigner("a@b", privateKey), baseUrl: "http://127.0.0.1:1", bucket: "b", lifetimeMs: 1, atMs: 0 },
    name: "runs/ü (1)'!/target*.tar.gz",
  });
  assert.match(url, /^http:\/\/127\.0\.0\.1:1\/b\/runs\/%C3%BC%20%281%29%27%21\/target%2A\.tar\.gz\?X-Goog-Algorithm/);
  const signature = Buffer.from(new URL(url).searchParams.get("X-Goog-Signature") ?? "", "hex");
  const sample = await keySigner("a@b", privateKey).sign("x");
  assert.ok(createVerify("RSA-SHA256").update("x").verify(publicKey, sample));
  assert.equal(signature.length, sample.length);
});

test("without a key Google is asked to sign as the machine's own account; without any account nobody signs", async () => {
  const google = await startHttpStandIn(({ url }) =>
    url.endsWith("/email")
      ? { body: "job@p.iam.gserviceaccount.com" }
      : { body: { signedBlob: Buffer.from("signed").toString("base64") } },
  );
  try {
    const env = {
      GCE_METADATA_HOST: new URL(google.url).host,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS: `${google.url}/`,
    };
    const common = { env, home: "/nonexistent", now: Date.now, rest: createRest({}) };
    const signer = await findSigner(common);
    assert.equal(signer?.email, "job@p.iam.gserviceaccount.com");
    assert.equal(String(await signer.sign("text")), "signed");
    const asked = google.seen.at(-1);
    assert.equal(asked?.url, "/v1/projects/-/serviceAccounts/job%40p.iam.gserviceaccount.com:signBlob");
    assert.deepEqual(JSON.parse(String(asked.body)), { payload: Buffer.from("text").toString("base64") });

    const path = join(tempFolder("adc"), "user.json");
    writeFileSync(path, JSON.stringify({ type: "authorized_user", refresh_token: "r" }));
    assert.equal(await findSigner({ ...common, env: { GOOGLE_APPLICATION_CREDENTIALS: path } }), undefined);
  } finally {
    await google.close();
  }
});

test("an object is downloaded from its signed address", { timeout: 120_000 }, async (context) => {
  const reason = emulatorsMissing();
  if (!requirePart(context, "Google's emulators", reason === undefined, reason ?? "")) return;
  const path = join(tempFolder("adc"), "key.json");
  writeFileSync(path, JSON.stringify({ type: "service_account", client_email: "a@b", private_key: privateKey }));
  const { env, ...place } = await gcpPlace();
  const all = { ...env, GOOGLE_APPLICATION_CREDENTIALS: path };
  const { storage, firestore } = await connectGcp({ ...place, env: all, home: "/nonexistent", now: Date.now });
  try {
    await storage.put("blobs/runs/r/target.tar.gz", Buffer.from("content"));
    const options = { lifetimeMs: 60_000, fileName: "run-7.tar.gz" };
    const url = await storage.downloadUrl("blobs/runs/r/target.tar.gz", options);
    // The emulator knows such addresses by the name of Google's host.
    const found = request(url ?? "", { headers: { host: "storage.googleapis.com" } }).end();
    const [answer] = (await once(found, "response")) as [IncomingMessage];
    assert.equal(answer.statusCode, 200);
    assert.equal(Buffer.concat(await answer.toArray()).toString(), "content");
  } finally {
    await firestore.close();
  }
});
