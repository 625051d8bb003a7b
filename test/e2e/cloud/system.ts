/** The whole system as on Google Cloud: State on the emulators, Jobs on the stand-in for Cloud Run, PostgreSQL, any number of servers. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { createClient } from "../../../src/api/client.ts";
import type { RunView } from "../../../src/api/schemas/runs.ts";
import { connectGcp } from "../../../src/gcp/connect.ts";
import { connectRun } from "../../../src/gcp/run.ts";
import { snapshotId } from "../../../src/snapshot/entry.ts";
import { openGcpState } from "../../../src/state/gcp/open.ts";
import type { State } from "../../../src/state/port.ts";
import { createStores, type Stores } from "../../../src/state/stores.ts";
import { type CloudRunStandIn, startCloudRun } from "../../cloud-run-stand-in.ts";
import { type EmulatorEnv, emulatorsMissing, gcpPlace } from "../../emulators.ts";
import { type FlakyProxy, startFlakyProxy } from "../../flaky-proxy.ts";
import {
  type CliOptions,
  copyProject,
  node,
  startCli,
  startServer,
  type TestServer,
  tempFolder,
  until,
} from "../../harness.ts";
import { type MetadataStandIn, startMetadata } from "../../metadata-stand-in.ts";
import { type PostgresConnection, postgresDatabase, postgresMissing } from "../../postgres.ts";
import { type Program, program, python, type Result, start } from "../../programs.ts";
import { requirePart } from "../../require.ts";
import { type Balancer, startBalancer } from "./balancer.ts";

export const LOCATION = "europe-west1";
const IMAGE = "europe-west1-docker.pkg.dev/p/dbt/dbt-remote:1";
const PATIENCE_MS = 120_000;

export interface CloudServerOptions {
  /** Behind those that every server here has. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface SystemOptions {
  /** Whether servers and jobs reach State through proxies that the test may cut. */
  readonly behindProxies?: boolean;
  /** Further variables of the jobs' containers. */
  readonly jobEnv?: Readonly<Record<string, string>>;
}

export interface CloudSystem {
  /** Before Firestore and Cloud Storage, where asked for; the system's own handle on State goes past them. */
  readonly proxies: readonly FlakyProxy[];
  readonly cloud: CloudRunStandIn;
  readonly metadata: MetadataStandIn;
  readonly balancer: Balancer;
  readonly state: State;
  readonly stores: Stores;
  readonly token: string;
  readonly projectId: string;
  readonly database: PostgresConnection;
  /** Starts a server; the balancer leads to it from then on. */
  server(options?: CloudServerOptions): Promise<TestServer>;
  /** Runs `dbt-server gc --dry-run` to its end. */
  gc(): Promise<Result>;
  /** The API as the requester `tester` sees it. */
  api(server?: TestServer): ReturnType<typeof createClient>;
  /** A copy of a project, with a profile for the database, and so a workspace of its own. */
  checkout(project?: string): Checkout;
  sql(text: string): void;
  runWhen(what: string, runId: string, isWanted: (run: RunView) => boolean, timeoutMs?: number): Promise<RunView>;
}

export interface Checkout {
  readonly project: string;
  /** Starts dbt-remote in the project, speaking to the balancer. */
  start(args: readonly string[], options?: CliOptions): Program;
}

/** Undefined where a part is missing, and the test is then marked so. Everything goes with the test. */
export async function startSystem(
  context: TestContext,
  { behindProxies = false, jobEnv = {} }: SystemOptions = {},
): Promise<CloudSystem | undefined> {
  const [emulators, postgres] = [emulatorsMissing(), postgresMissing()];
  if (!requirePart(context, "Google's emulators", emulators === undefined, emulators ?? "")) return undefined;
  if (!requirePart(context, "PostgreSQL", postgres === undefined, postgres ?? "")) return undefined;
  const [place, database, metadata, balancer] = await Promise.all([
    gcpPlace(),
    postgresDatabase(),
    startMetadata(),
    startBalancer(),
  ]);
  const folder = tempFolder("containers");
  const job = program("job");
  const image = {
    programs: { "dbt-job": [node, job] },
    env: (own: string) => ({
      ...{ PATH: process.env["PATH"] ?? "", HOME: own, TMPDIR: own, LANG: "C.UTF-8" },
      ...{ DBT_SERVER_DATA_DIR: join(own, "data"), DBT_SERVER_PYTHON: python },
      ...jobEnv,
    }),
  };
  const cloud = await startCloudRun({ folder, images: { [IMAGE]: image } });
  const token = randomBytes(16).toString("hex");
  // What a deployment has put on the Job stays there when a server manages it.
  const run = connectRun({
    env: { GCE_METADATA_HOST: metadata.host, CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: cloud.url },
    ...{ home: "/", now: Date.now },
  });
  await run.createJob(`projects/${place.projectId}/locations/${LOCATION}/jobs/dbt-remote`, {
    template: { template: { containers: [{ image: IMAGE, env: [{ name: "DBT_SERVER_TOKEN", value: token }] }] } },
  });
  const clients = await connectGcp({ ...place, env: { ...place.env }, home: "/", now: Date.now });
  const state = openGcpState({ ...clients, now: Date.now });
  const stores = createStores({ state, now: Date.now, snapshotId });
  const proxies = behindProxies ? await proxiesBefore(place.env) : [];
  const [firestore, storage] = proxies;
  const stateEnv =
    firestore === undefined || storage === undefined
      ? place.env
      : { FIRESTORE_EMULATOR_HOST: firestore.host, STORAGE_EMULATOR_HOST: `http://${storage.host}` };
  const serverEnv = {
    ...stateEnv,
    ...{ PROJECT_ID: place.projectId, BUCKET_NAME: place.bucket, LOCATION, DOCKER_IMAGE: IMAGE },
    ...{ CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: cloud.url, GCE_METADATA_HOST: metadata.host, DBT_SERVER_TOKEN: token },
  };
  const servers: TestServer[] = [];
  const programs: Program[] = [];
  context.after(async () => {
    for (const each of [...programs, ...servers]) each.kill("SIGKILL");
    await cloud.close();
    await Promise.all([balancer.close(), metadata.close(), state.close(), ...proxies.map((proxy) => proxy.close())]);
  });

  const system: CloudSystem = {
    ...{ cloud, metadata, balancer, state, stores, token, proxies, projectId: place.projectId, database },

    async server({ args = [], env = {} } = {}) {
      const server = await startServer({
        home: tempFolder("home"),
        args: [
          ...["--state", "gcp", "--executor", "cloud-run", "--auth", "token", "--manage-job"],
          ...["--service-url", balancer.url, ...args],
        ],
        env: { ...serverEnv, ...env },
      });
      servers.push(server);
      balancer.to(server.port);
      return server;
    },

    gc: () => start(node, [program("server"), "gc", "--dry-run", "--state", "gcp"], { env: serverEnv }).done,

    api: (server) =>
      createClient({
        ...{ baseUrl: server?.url ?? balancer.url, token, clientId: "tester", userLabel: "tester", fetch },
      }),

    checkout(name = "cloud") {
      const project = copyProject(name);
      const profiles = tempFolder("profiles");
      const { host, port, user, password, database: dbname } = database;
      const output = { type: "postgres", host, port, user, password, dbname, schema: "public", threads: 1 };
      writeFileSync(
        join(profiles, "profiles.yml"),
        JSON.stringify({ [name]: { target: "dev", outputs: { dev: output } } }),
      );
      return {
        project,
        start(args, options = {}) {
          const cli = startCli(args, {
            ...{ cwd: project, timeoutMs: 300_000, home: cliHome() },
            ...options,
            env: { DBT_SERVER_URL: balancer.url, DBT_SERVER_TOKEN: token, DBT_PROFILES_DIR: profiles, ...options.env },
          });
          programs.push(cli);
          return cli;
        },
      };
    },

    sql(text) {
      const { host, port, user, password, database: dbname } = database;
      const code = [
        "import json, psycopg2, sys",
        "c = psycopg2.connect(**json.loads(sys.argv[1])); c.autocommit = True",
        "c.cursor().execute(sys.argv[2])",
      ].join("\n");
      execFileSync(python, ["-c", code, JSON.stringify({ host, port, user, password, dbname }), text], {
        stdio: "pipe",
      });
    },

    runWhen: (what, runId, isWanted, timeoutMs = PATIENCE_MS) =>
      until(
        `run ${runId}: ${what}`,
        async () => {
          const run = await system.api().run(runId);
          return isWanted(run) && run;
        },
        timeoutMs,
      ),
  };
  return system;
}

async function proxiesBefore(env: EmulatorEnv): Promise<FlakyProxy[]> {
  const hosts = [env.FIRESTORE_EMULATOR_HOST, new URL(env.STORAGE_EMULATOR_HOST).host];
  return Promise.all(hosts.map(startFlakyProxy));
}

let home: string | undefined;
/** One for all: no server registers in it. */
function cliHome(): string {
  home ??= tempFolder("home");
  mkdirSync(home, { recursive: true });
  return home;
}

/** The id of the newest run. */
export async function newestRun(system: CloudSystem): Promise<RunView> {
  const { runs } = await system.api().runs({ limit: 1 });
  const [run] = runs;
  if (run === undefined) throw new Error("there is no run yet");
  return run;
}
