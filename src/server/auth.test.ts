import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { AppError } from "../core/errors.ts";
import { createAuth } from "./auth.ts";
import { register, registrationFolder, registrationToken } from "./registration.ts";

const temp = mkdtempSync(join(tmpdir(), "auth-"));
after(() => rmSync(temp, { recursive: true, force: true }));

const code = (wanted: string) => (error: unknown) => error instanceof AppError && error.code === wanted;

test("a request without the right token is refused", async () => {
  for (const kind of ["local", "token"] as const) {
    const auth = createAuth(kind, "right");
    const { requester, expiresAtMs } = await auth.caller({ authorization: "Bearer right" });
    assert.ok(requester.label.startsWith(kind) && expiresAtMs === null);
    for (const authorization of [undefined, "", "right", "Bearer", "Bearer wrong", "Bearer right ", "Basic right"]) {
      const request = authorization === undefined ? {} : { authorization };
      await assert.rejects(auth.caller(request), code("unauthorized"), authorization);
    }
  }
  assert.equal((await createAuth("none", null).caller({})).requester.id, "none");
});

test("a requester is the token's id with the client's; the label is only for people", async () => {
  const auth = createAuth("none", null);
  const { requester: ada } = await auth.caller({ "x-dbt-remote-client": "c1", "x-dbt-remote-user": "ada@laptop" });
  assert.deepEqual(ada, { id: "none:c1", label: "ada@laptop" });
  const { requester: one } = await createAuth("token", "a").caller({ authorization: "Bearer a" });
  assert.notEqual(one.id, "token");
  for (const client of ["a b", "a/b", "x".repeat(101), "ä"]) {
    await assert.rejects(auth.caller({ "x-dbt-remote-client": client }), code("bad_request"), client);
  }
  for (const user of ["a\u001b[0m", "x".repeat(201)]) {
    await assert.rejects(auth.caller({ "x-dbt-remote-user": user }), code("bad_request"));
  }
});

test("only pages of this server's own address may ask, where no token is needed for it", () => {
  for (const kind of ["local", "none"] as const) {
    const auth = createAuth(kind, kind === "local" ? "t" : null);
    auth.checkOrigin({ host: "localhost:80" }, 80);
    auth.checkOrigin({ host: "127.0.0.1:80", origin: "http://localhost:80" }, 80);
    assert.throws(() => auth.checkOrigin({ host: "evil.org:80" }, 80), code("host_refused"));
    assert.throws(() => auth.checkOrigin({}, 80), code("host_refused"));
    assert.throws(
      () => auth.checkOrigin({ host: "localhost:80", origin: "http://evil.org" }, 80),
      code("host_refused"),
    );
    assert.throws(() => auth.checkOrigin({ host: "localhost:80", origin: "null" }, 80), code("host_refused"));
  }
  createAuth("token", "t").checkOrigin({ host: "dbt.example.org" }, 80);
});

test("a local server proves that it knows the token", () => {
  const proof = createAuth("local", "t").proof("nonce");
  assert.equal(proof, createHmac("sha256", "t").update("nonce").digest("hex"));
  assert.equal(createAuth("token", "t").proof("nonce"), undefined);
  assert.equal(createAuth("none", null).proof("nonce"), undefined);
});

test("the registration is private, removed at the end, and cleans up after servers that are gone", () => {
  const folder = registrationFolder(temp);
  const data = { url: "http://127.0.0.1:5", token: "t".repeat(64), pid: process.pid, version: "1", dataDir: "/d" };
  const remove = register(folder, 5, data);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  assert.equal(statSync(join(folder, "5.json")).mode & 0o777, 0o600);
  assert.deepEqual(JSON.parse(readFileSync(join(folder, "5.json"), "utf8")), data);
  writeFileSync(join(folder, "6.json"), JSON.stringify({ ...data, pid: 2 ** 22 + 1 }));
  writeFileSync(join(folder, "7.json"), "broken");
  const removeOther = register(folder, 8, { ...data, token: "u" });
  assert.deepEqual(readdirSync(folder).sort(), ["8.json"], "a file of this very process is a former server's too");
  register(folder, 5, data);
  removeOther();
  remove();
  assert.deepEqual(readdirSync(folder), []);
});

test("a server that was killed and comes back keeps its token", () => {
  const folder = registrationFolder(join(temp, "again"));
  const token = "k".repeat(64);
  register(folder, 9, { url: "u", token, pid: 2 ** 22 + 1, version: "1", dataDir: "/d" });
  assert.equal(registrationToken(folder, 9, "/d"), token);
  assert.notEqual(registrationToken(folder, 9, "/other"), token);
  assert.notEqual(registrationToken(folder, 10, "/d"), token);
  assert.match(registrationToken(folder, 10, "/d"), /^[0-9a-f]{64}$/);
});
