import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { EventEmitter } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough } from "node:stream";
import { after, test } from "node:test";
import { AppError } from "../core/errors.ts";
import type { CliContext } from "./context.ts";
import { findServer } from "./find-server.ts";
import { proxyFor } from "./proxy.ts";
import { loadSettings } from "./settings.ts";

const base = mkdtempSync(path.join(tmpdir(), "find-"));
after(() => rmSync(base, { recursive: true, force: true }));
let homes = 0;

function home() {
  homes += 1;
  const folder = path.join(base, `home${homes}`);
  const servers = path.join(folder, ".local/state/dbt-remote/servers");
  mkdirSync(servers, { recursive: true, mode: 0o700 });
  const projectDir = path.join(folder, "project");
  mkdirSync(projectDir);
  return { folder, servers, projectDir };
}

/** Answers the nonce with what it takes for the token, and keeps what it was sent. */
async function server(token: string) {
  const seen: (string | undefined)[] = [];
  const made = createServer((request, response) => {
    seen.push(request.headers.authorization);
    const nonce = new URL(request.url ?? "", "http://x").searchParams.get("nonce") ?? "";
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ proof: createHmac("sha256", token).update(nonce).digest("hex") }));
  });
  await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", resolve));
  after(() => {
    made.closeAllConnections();
    made.close();
  });
  const { port } = made.address() as AddressInfo;
  return { port, url: `http://127.0.0.1:${port}`, seen };
}

function register(servers: string, port: number, token: string, mode = 0o600) {
  writeFileSync(
    path.join(servers, `${port}.json`),
    JSON.stringify({ url: `http://127.0.0.1:${port}`, token, pid: 1 }),
    { mode },
  );
}

async function find({ folder, projectDir }: ReturnType<typeof home>, env: Record<string, string> = {}, flags = {}) {
  const context: CliContext = {
    argv: [],
    env: { HOME: folder, ...env },
    cwd: projectDir,
    platform: process.platform,
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    signals: new EventEmitter(),
  };
  return findServer(context, await loadSettings(context, flags, projectDir));
}

const fails = (work: Promise<unknown>, code: string, message: RegExp) =>
  assert.rejects(
    work,
    (error) => error instanceof AppError && error.code === code && message.test(`${error.message} ${error.hint}`),
  );

test("no server at all: says how to start one", async () => {
  await fails(find(home()), "server_not_found", /dbt-server --python/);
});

test("the only registered server that lives is found, and proves itself before it sees the token", async () => {
  const place = home();
  const alive = await server("t1");
  register(place.servers, alive.port, "t1");
  register(place.servers, 9, "dead");
  const client = await find(place);
  assert.equal(client.baseUrl, alive.url);
  assert.deepEqual(alive.seen, [undefined]);
  await client.server();
  assert.equal(alive.seen.at(-1), "Bearer t1");
});

test("whoever cannot prove itself gets nothing; a file that others can write is no registration", async () => {
  const place = home();
  const thief = await server("another");
  register(place.servers, thief.port, "t1");
  await fails(find(place, { DBT_SERVER_URL: thief.url }), "server_untrusted", /not the dbt-server that registered/);
  assert.deepEqual(thief.seen, [undefined]);
  const open = home();
  const other = await server("t2");
  register(open.servers, other.port, "t2", 0o666);
  await fails(find(open), "server_not_found", /No dbt-server/);
});

test("several servers: says which", async () => {
  const place = home();
  const [a, b] = [await server("a"), await server("b")];
  register(place.servers, a.port, "a");
  register(place.servers, b.port, "b");
  await fails(find(place), "server_not_found", /Several servers run here: .*--server-url/);
  assert.equal(
    (await find(place, {}, { serverUrl: [`http://localhost:${b.port}`] })).baseUrl,
    `http://localhost:${b.port}`,
  );
});

test("a server named by the project's file is used only once it is trusted", async () => {
  const place = home();
  writeFileSync(path.join(place.projectDir, "dbt_remote.yml"), "server_url: https://dbt.example.com\n");
  await fails(find(place), "server_untrusted", /https:\/\/dbt\.example\.com.*--trust-project-config/);
  const trusting = await find(place, {}, { trustProjectConfig: ["true"] });
  assert.equal(trusting.baseUrl, "https://dbt.example.com");
  assert.equal((await find(place)).baseUrl, "https://dbt.example.com");
  writeFileSync(path.join(place.projectDir, "dbt_remote.yml"), "server_url: https://evil.example.com\n");
  await fails(find(place), "server_untrusted", /evil/);
  // What the user says goes before the file, which then needs no trust.
  assert.equal((await find(place, { DBT_SERVER_URL: "http://10.0.0.1:1" })).baseUrl, "http://10.0.0.1:1");
});

test("a loopback server named by the project's file has to be the user's own", async () => {
  const place = home();
  const mine = await server("m");
  writeFileSync(path.join(place.projectDir, "dbt_remote.yml"), `server_url: ${mine.url}\n`);
  await fails(find(place, { DBT_SERVER_TOKEN: "secret" }), "server_untrusted", /no server of yours/);
  assert.deepEqual(mine.seen, []);
  register(place.servers, mine.port, "m");
  assert.equal((await find(place)).baseUrl, mine.url);
});

test("unknown keys and bad values in a file are errors that name it", async () => {
  const place = home();
  writeFileSync(path.join(place.projectDir, "dbt_remote.yml"), "serverurl: x\n");
  await fails(find(place), "bad_argument", /dbt_remote\.yml has the key serverurl/);
  writeFileSync(path.join(place.projectDir, "dbt_remote.yml"), "timeout: soon\n");
  await fails(find(place), "bad_argument", /"soon" of timeout in .*dbt_remote\.yml/);
});

test("proxies: by protocol, never for loopback, and not for exceptions", () => {
  const env = { HTTPS_PROXY: "http://p:3128", http_proxy: "q:80", NO_PROXY: "internal.example, .corp:8443 ,10.0.0.1" };
  const cases: [string, string | undefined][] = [
    ["https://dbt.example.com", "http://p:3128"],
    ["http://dbt.example.com", "http://q:80"],
    ["http://127.0.0.1:8001", undefined],
    ["http://localhost:8001", undefined],
    ["http://[::1]:8001", undefined],
    ["https://internal.example", undefined],
    ["https://a.internal.example", undefined],
    ["https://a.corp:8443", undefined],
    ["https://a.corp", "http://p:3128"],
    ["http://10.0.0.1", undefined],
  ];
  for (const [url, proxy] of cases) assert.equal(proxyFor(url, env), proxy, url);
  assert.equal(proxyFor("https://x.y", { HTTPS_PROXY: "http://p", NO_PROXY: "*" }), undefined);
  assert.equal(proxyFor("https://x.y", {}), undefined);
});
