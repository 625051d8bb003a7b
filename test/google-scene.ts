/** Somebody with a gcloud on their PATH, at a terminal or not, in a project of Google Cloud with some services. */
import { EventEmitter } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after } from "node:test";
import type { Credentials } from "../src/api/http.ts";
import type { CliContext, Terminal } from "../src/cli/context.ts";
import { credentialsFor } from "../src/cli/detect/credentials-for.ts";
import { detectOnGoogleCloud } from "../src/cli/detect/google-cloud.ts";
import type { Access } from "../src/cli/detect/known-servers.ts";
import { findServer } from "../src/cli/find-server.ts";
import { loadSettings } from "../src/cli/settings.ts";
import { tempFolder } from "./folders.ts";
import { type GcloudOptions, type GcloudStandIn, gcloudStandIn, unsignedToken } from "./gcloud-stand-in.ts";
import { type HttpStandIn, type SeenRequest, type StandInAnswer, startHttpStandIn } from "./http-stand-in.ts";
import { type ListedService, type RunApiOptions, startRunApi } from "./run-services.ts";

/** What gcloud says of them. */
export const TOKEN = unsignedToken(3_600_000);
const opened: HttpStandIn[] = [];
after(() => Promise.all(opened.map((server) => server.close())));

/** One that ends with the tests of the file. */
export async function service(answer: (request: SeenRequest) => StandInAnswer): Promise<HttpStandIn> {
  const server = await startHttpStandIn(answer);
  opened.push(server);
  return server;
}

/** Tests of what is found must not depend on how busy the machine is. */
const UNHURRIED_MS = 20_000;

export interface Scene {
  readonly services: readonly ListedService[];
  readonly api?: RunApiOptions;
  readonly gcloud?: GcloudOptions;
  readonly env?: Record<string, string>;
  readonly flags?: Record<string, string[]>;
  readonly home?: string;
  /** What somebody at the terminal answers to each question; undefined: nobody is there. */
  readonly answer?: string;
}

export interface Looked {
  readonly gcloud: GcloudStandIn;
  readonly home: string;
  readonly api: HttpStandIn;
  readonly asked: () => string;
  detect(deadlineMs?: number, startingMs?: number): ReturnType<typeof detectOnGoogleCloud>;
  find(): ReturnType<typeof findServer>;
  /** What a server is shown of which this was seen. */
  credentials(url: string, access: Access): Credentials;
}

export async function scene({
  services,
  api: options,
  gcloud: given,
  env = {},
  flags = {},
  home,
  answer,
}: Scene): Promise<Looked> {
  const folder = home ?? tempFolder("home");
  const projectDir = join(folder, "project");
  mkdirSync(projectDir, { recursive: true });
  const api = await startRunApi(services, options);
  opened.push(api);
  const gcloud = gcloudStandIn({ project: "shop", identityToken: TOKEN, ...given });
  const [stdin, stderr] = [new PassThrough(), new PassThrough()];
  let asked = "";
  stderr.on("data", (chunk: Buffer) => {
    asked += chunk.toString();
    if (answer !== undefined && chunk.includes("[y/N]")) stdin.write(`${answer}\n`);
  });
  const isTTY = answer !== undefined;
  const context: CliContext = {
    ...{
      argv: [],
      cwd: projectDir,
      platform: process.platform,
      stdout: new PassThrough(),
      signals: new EventEmitter(),
    },
    env: {
      ...{ HOME: folder, METADATA_SERVER_DETECTION: "none" },
      ...{ CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: `${api.url}/`, ...gcloud.env, ...env },
    },
    stdin: Object.assign(stdin, { isTTY }),
    stderr: Object.assign(stderr, { isTTY }) as Terminal,
  };
  const settings = await loadSettings(context, flags, projectDir);
  return {
    ...{ gcloud, home: folder, api, asked: () => asked },
    detect: (deadlineMs = UNHURRIED_MS, startingMs = UNHURRIED_MS) =>
      detectOnGoogleCloud(context, settings, { deadlineMs, startingMs }),
    find: () => findServer(context, settings),
    credentials: (url, access) => credentialsFor(context, settings, { url, token: undefined, access }),
  };
}
