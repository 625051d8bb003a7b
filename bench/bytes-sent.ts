/** What the CLI sends over the wire, counted by a proxy between it and the server. */
import { appendFileSync, readdirSync, statSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { freePort } from "../test/harness.ts";
import { modelName, modelPath } from "./generate.ts";
import { newProject, remoteSide } from "./sides.ts";
import type { Stopwatch } from "./stopwatch.ts";

export interface BytesSent {
  readonly models: number;
  /** Size of all files of the project. */
  readonly projectBytes: number;
  readonly first: number;
  readonly unchanged: number;
  readonly oneEdited: number;
  /** Milliseconds from the start of dbt-remote until it had posted the run, nothing changed. */
  readonly postedMs: readonly number[];
}

interface CountingProxy {
  readonly url: string;
  /** Bytes that clients have sent since the last call. */
  take(): number;
  /** When a run was last posted; Unix time in ms. */
  postedAt(): number;
  close(): void;
}

async function countingProxy(port: number): Promise<CountingProxy> {
  let sent = 0;
  let posted = Number.NaN;
  const proxy = createServer((client) => {
    const server = connect(port, "127.0.0.1");
    client.on("data", (chunk) => {
      sent += chunk.length;
      if (chunk.includes("POST /api/v1/runs ")) posted = performance.timeOrigin + performance.now();
    });
    client.pipe(server).pipe(client);
    client.on("error", () => server.destroy());
    server.on("error", () => client.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const take = () => {
    const before = sent;
    sent = 0;
    return before;
  };
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    take,
    postedAt: () => posted,
    close: () => proxy.close(),
  };
}

/** How often it is measured with nothing changed. */
const UNCHANGED = 5;

export async function measureBytesSent(stopwatch: Stopwatch, models: number): Promise<BytesSent> {
  const project = newProject(models);
  const projectBytes = folderSize(project);
  const port = await freePort();
  const token = "benchmark-token-benchmark-token-0";
  const proxy = await countingProxy(port);
  const remote = await remoteSide(stopwatch, project, {
    port,
    warm: false,
    args: ["--auth", "token"],
    env: { DBT_SERVER_TOKEN: token },
    cliEnv: { DBT_SERVER_URL: proxy.url, DBT_SERVER_TOKEN: token },
  });
  const postedMs: number[] = [];
  const sent = async () => {
    const timing = await remote.run(["ls", "-s", modelName(0)]);
    if (timing.code !== 0) throw new Error(`ls ended with ${timing.code}: ${timing.stderr}`);
    postedMs.push(proxy.postedAt() - timing.startedAt * 1000);
    return proxy.take();
  };
  try {
    const first = await sent();
    postedMs.length = 0;
    const unchanged = await sent();
    for (let more = 1; more < UNCHANGED; more++) await sent();
    const posted = [...postedMs];
    appendFileSync(join(project, modelPath(0)), "-- edited\n");
    return { models, projectBytes, first, unchanged, oneEdited: await sent(), postedMs: posted };
  } finally {
    proxy.close();
    await remote.stop();
  }
}

function folderSize(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
