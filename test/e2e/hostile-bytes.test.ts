/** Bytes, names and headers from people who mean harm: always a 4xx with words, never a 5xx, never a stack. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { pack as tarPack } from "tar-stream";
import { tokenOf } from "./gated.ts";
import { assertNoStack, assertRefused, SHA, startTarget, type Target } from "./hostile.ts";

let target: Target;
before(async () => {
  target = await startTarget();
});
after(() => target.stop());
const send: Target["send"] = (...request) => target.send(...request);

async function tar(entries: (tape: ReturnType<typeof tarPack>) => void): Promise<Uint8Array> {
  const tape = tarPack();
  entries(tape);
  tape.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tape) chunks.push(chunk as Uint8Array);
  return gzipSync(Buffer.concat(chunks));
}

test("packs and parts with tricks in them", async () => {
  const whole = await tar((tape) => tape.entry({ name: SHA }, "x"));
  const packs: readonly (readonly [string, Uint8Array, number?])[] = [
    ["no gzip", randomBytes(5_000), 400],
    ["nothing", new Uint8Array(), 400],
    ["gzip of nonsense", gzipSync(randomBytes(5_000)), 400],
    ["half a pack", whole.subarray(0, whole.length - 12)],
    ["a path that climbs", await tar((tape) => tape.entry({ name: `../${SHA}` }, "x")), 400],
    ["an absolute path", await tar((tape) => tape.entry({ name: "/etc/passwd" }, "x")), 400],
    ["a name that is no hash", await tar((tape) => tape.entry({ name: "a" }, "x")), 400],
    ["a link", await tar((tape) => tape.entry({ name: SHA, type: "symlink", linkname: "/etc/passwd" })), 400],
    ["a hard link", await tar((tape) => tape.entry({ name: SHA, type: "link", linkname: "/etc/passwd" })), 400],
    ["a device", await tar((tape) => tape.entry({ name: SHA, type: "character-device" })), 400],
    ["content of another hash", whole, 422],
    ["a bomb in a file", await bomb(), 413],
  ];
  for (const [what, bytes, wanted] of packs) assertRefused(what, await send("POST", "/api/v1/packs", bytes), wanted);

  const part = (range: string, bytes: Uint8Array = Buffer.from("x"), sha = SHA) =>
    send("PATCH", `/api/v1/contents/${sha}`, bytes, { "content-range": range });
  for (const range of [
    "",
    "bytes",
    "bytes 0-0",
    "bytes 1-0/5",
    "bytes 0-9/5",
    "bytes 0-0/1e9",
    `bytes 0-0/${2 ** 52}`,
    "bytes 0-0/99999999999999999999",
    "bytes -1-0/5",
  ]) {
    assertRefused(`range ${range}`, await part(range));
  }
  assertRefused("fewer bytes than said", await part("bytes 0-4/10"), 400);
  assertRefused("a part behind the end", await part("bytes 5-5/10"), 416);
  assertRefused("content of another hash", await part("bytes 0-0/1"), 422);
  assertRefused("a hash that is a path", await part("bytes 0-0/1", Buffer.from("x"), "..%2f..%2fx"));
});

/** 70 MB of zeros as one file. */
function bomb(): Promise<Uint8Array> {
  return tar((tape) => tape.entry({ name: SHA }, Buffer.alloc(70 * 1024 * 1024)));
}

test("runs, logs and lists that nobody has", async () => {
  const refs = [
    "nobody",
    "00000000-0000-4000-8000-000000000000",
    "..",
    "%2e%2e%2f%2e%2e",
    "%00",
    "999999999999999999999",
    "-1",
    "0",
    "1e3",
    "__proto__",
    "constructor",
    "x".repeat(199),
    "x".repeat(4_000),
    "%F0%9F%92%A9",
    "%zz",
    "'--",
    "a*",
  ];
  for (const ref of refs) {
    for (const rest of ["", "/log", "/events", "/artifacts", "/artifacts.tar.gz"]) {
      assertRefused(`${ref}${rest}`, await send("GET", `/api/v1/runs/${ref}${rest}`));
    }
    assertRefused(`cancel ${ref}`, await send("POST", `/api/v1/runs/${ref}/cancel`));
  }
  const queries = [
    "offset=-1",
    "offset=abc",
    "offset=1e30",
    "offset=1.5",
    "offset=99999999999999999999",
    "offset=",
    "maxBytes=0",
    "maxBytes=-5",
    "maxBytes=1e9",
    "waitMs=-1",
    "waitMs=99999999",
    "offset=1&offset=2",
    "nope=1",
  ];
  for (const query of queries) {
    assertRefused(`log?${query}`, await send("GET", `/api/v1/runs/${target.runId}/log?${query}`), 400);
  }
  for (const id of ["x", "-1", "1e9", "99999999999999999999", "1, 2"]) {
    const headers = { "last-event-id": id, accept: "text/event-stream" };
    assertRefused(
      `Last-Event-ID ${id}`,
      await send("GET", `/api/v1/runs/${target.runId}/log`, undefined, headers),
      400,
    );
  }
  for (const accept of ["application/json", "text/plain"]) {
    const far = await send("GET", `/api/v1/runs/${target.runId}/log?offset=999999999999999`, undefined, { accept });
    assert.ok(far.status === 200 || (far.status >= 400 && far.status < 500), `${accept}: ${far.status} ${far.text}`);
  }
  const lists = [
    "status=bogus",
    "limit=0",
    "limit=99999999",
    "limit=x",
    "before=x",
    "since=yesterday",
    "since=%2B275760-09-13T00:00:00.001Z",
    "until=",
    "since=%00",
    "limit=1&limit=2",
    "x[y]=1",
  ];
  for (const query of lists) assertRefused(`runs?${query}`, await send("GET", `/api/v1/runs?${query}`), 400);
  for (const query of ["nonce=x", "nonce=", "", `nonce=${"x".repeat(600)}`]) {
    assertRefused(`proof?${query}`, await send("GET", `/api/v1/proof?${query}`), 400);
  }
});

test("strangers", async () => {
  const token = tokenOf(target.server);
  for (const authorization of [
    "",
    "Bearer",
    "Bearer wrong",
    `Basic ${token}`,
    `Bearer ${token}x`,
    `Bearer ${"x".repeat(5_000)}`,
  ]) {
    assertRefused(authorization, await send("GET", "/api/v1/runs", undefined, { authorization }), 401);
  }
  assertRefused(
    "a token in the URL",
    await send("GET", `/api/v1/runs?token=${token}`, undefined, { authorization: "" }),
    401,
  );
  for (const origin of ["https://evil.example", "null", `http://localhost:${target.server.port + 1}`]) {
    assertRefused(origin, await send("GET", "/api/v1/runs", undefined, { origin }), 403);
  }
  for (const client of ["a/b", "x".repeat(200), "<script>"]) {
    assertRefused(client, await send("GET", "/api/v1/runs", undefined, { "x-dbt-remote-client": client }), 400);
  }
  for (const method of ["DELETE", "PUT", "PATCH", "OPTIONS"]) {
    assertRefused(method, await send(method, "/api/v1/runs"), 404);
  }
});

/** Sends bytes as they are and reads until the server hangs up, or for a moment. */
function raw(bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(target.server.port, "127.0.0.1");
    let text = "";
    const done = () => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(2_000, done);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (text.includes("\r\n\r\n{")) setTimeout(done, 50);
    });
    socket.on("close", done);
    socket.on("error", done);
    socket.write(bytes);
  });
}

test("bytes that are no HTTP, or too much of it", async () => {
  const head = `Host: 127.0.0.1:${target.server.port}\r\nAuthorization: Bearer ${tokenOf(target.server)}\r\n`;
  const json = "Content-Type: application/json\r\n";
  const cases: readonly (readonly [string, string | Uint8Array, number?])[] = [
    ["TLS", Uint8Array.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00), 400],
    ["noise", randomBytes(3_000)],
    ["no Host", "GET /api/v1/runs HTTP/1.1\r\n\r\n"],
    ["an evil Host", "GET /api/v1/runs HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403],
    [
      "two lengths",
      `POST /api/v1/runs HTTP/1.1\r\n${head}${json}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ["a huge body announced", `POST /api/v1/runs HTTP/1.1\r\n${head}${json}Content-Length: 99999999999\r\n\r\n{`, 413],
    ["a length below nothing", `POST /api/v1/runs HTTP/1.1\r\n${head}${json}Content-Length: -1\r\n\r\n{`, 400],
    ["huge headers", `GET / HTTP/1.1\r\n${head}X: ${"x".repeat(100_000)}\r\n\r\n`, 431],
    ["a broken escape", `GET /api/v1/runs/%zz HTTP/1.1\r\n${head}\r\n`, 400],
    ["an odd method", `BREW /api/v1/runs HTTP/1.1\r\n${head}\r\n`, 400],
    ["an upgrade", `GET /api/v1/runs/nobody HTTP/1.1\r\n${head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`, 404],
    [
      "a body in a tongue nobody speaks",
      `POST /api/v1/runs HTTP/1.1\r\n${head}Content-Type: application/xml\r\nContent-Length: 4\r\n\r\n<a/>`,
      400,
    ],
    [
      "a body that says it is packed",
      `POST /api/v1/runs HTTP/1.1\r\n${head}${json}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}`,
      400,
    ],
  ];
  for (const [what, bytes, wanted] of cases) {
    const text = await raw(bytes);
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
    if (text === "") continue; // hung up without a word
    assert.ok(status >= 400 && status < 500, `${what}: ${text.slice(0, 300)}`);
    if (wanted !== undefined) assert.equal(status, wanted, `${what}: ${text.slice(0, 300)}`);
    assertNoStack(text, what);
  }
  const endless = `POST /api/v1/runs HTTP/1.1\r\n${head}${json}Transfer-Encoding: chunked\r\n\r\n`;
  const chunk = `${(1024 * 1024).toString(16)}\r\n${"x".repeat(1024 * 1024)}\r\n`;
  const text = await raw(endless + chunk.repeat(60));
  assert.match(text, /^HTTP\/1\.1 413 /);
});
