import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { cli, startServer, type TestServer, tempFolder } from "../harness.ts";
import { requirePart } from "../require.ts";

/** A name that no resolver knows: only a proxy can lead there. */
const NAME = "dbt.example.test";
const token = "a-token-for-the-tests";
let server: TestServer;
let proxy: Proxy;

before(async () => {
  server = await startServer({ home: tempFolder("home"), args: ["--auth", "token"], env: { DBT_SERVER_TOKEN: token } });
  proxy = await startProxy(server.port);
});
after(async () => {
  proxy.close();
  await server.stop();
});

interface Proxy {
  readonly url: string;
  /** `host:port` of every request, the newest last. */
  readonly asked: string[];
  close(): void;
}

/** Leads every request, tunnelled or forwarded, to one port of this machine. */
async function startProxy(port: number): Promise<Proxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const lead = (socket: Socket, first: Uint8Array) => {
    const onward = connect(port, "127.0.0.1", () => {
      onward.write(first);
      socket.pipe(onward).pipe(socket);
    });
    for (const each of [socket, onward]) {
      sockets.add(each);
      each.on("error", () => undefined);
    }
  };
  const listener = createServer((request, response) => {
    asked.push(new URL(request.url ?? "").host);
    response.writeHead(502).end();
  });
  listener.on("connect", (request, socket: Socket, head) => {
    asked.push(request.url ?? "");
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    lead(socket, head);
  });
  const address = await listen(listener);
  const close = () => {
    for (const socket of sockets) socket.destroy();
    listener.closeAllConnections();
    listener.close();
  };
  return { url: `http://127.0.0.1:${address.port}`, asked, close };
}

async function listen(listener: Server): Promise<AddressInfo> {
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return listener.address() as AddressInfo;
}

const home = tempFolder("home");
const runs = (url: string, env: Record<string, string>) =>
  cli(["runs", "--all", "--json", "--server-url", url], { home, env: { DBT_SERVER_TOKEN: token, ...env } });

test("HTTP_PROXY leads to a server of another machine; NO_PROXY and loopback go without", async () => {
  const url = `http://${NAME}:8001`;
  const led = await runs(url, { HTTP_PROXY: proxy.url });
  assert.deepEqual([led.code, led.stdout], [0, "[]\n"], led.stderr);
  assert.deepEqual([...new Set(proxy.asked.splice(0))], [`${NAME}:8001`]);

  const excepted = await runs(url, { HTTP_PROXY: proxy.url, NO_PROXY: ".example.test" });
  assert.equal(excepted.code, 2);
  assert.match(excepted.stderr, new RegExp(`${NAME}:8001`));
  const loopback = await runs(server.url, { HTTP_PROXY: "http://127.0.0.1:1", all_proxy: proxy.url });
  assert.deepEqual([loopback.code, loopback.stdout], [0, "[]\n"], loopback.stderr);
  assert.deepEqual(proxy.asked, []);
});

test("HTTPS_PROXY and NODE_EXTRA_CA_CERTS: through a proxy to a server behind TLS", async (context) => {
  const folder = tempFolder("tls");
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const made = spawnSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", `/CN=${NAME}`, "-addext", `subjectAltName=DNS:${NAME}`, "-keyout", key, "-out", cert],
  ]);
  if (!requirePart(context, "openssl", made.status === 0, "a certificate is made with it")) return;
  const tls = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) => {
    const onward = connect(server.port, "127.0.0.1");
    for (const each of [socket, onward]) each.on("error", () => undefined);
    socket.pipe(onward).pipe(socket);
  });
  const outer = await startProxy((await listen(tls)).port);
  try {
    const url = `https://${NAME}`;
    const led = await runs(url, { HTTPS_PROXY: outer.url, NODE_EXTRA_CA_CERTS: cert });
    assert.deepEqual([led.code, led.stdout], [0, "[]\n"], led.stderr);
    assert.equal(outer.asked.at(-1), `${NAME}:443`);
    const distrusted = await runs(url, { HTTPS_PROXY: outer.url });
    assert.equal(distrusted.code, 2);
    assert.match(distrusted.stderr, /certificate/);
  } finally {
    outer.close();
    tls.close();
  }
});
