/**
 * Stands where a server would and refuses every run once it has all of it: shows what the CLI sends, to the byte, without
 * a dbt having to run.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import type { RunRequest } from "../../src/api/schemas/runs.ts";
import type { SnapshotRequest } from "../../src/api/schemas/snapshots.ts";
import { cli, type Result } from "../harness.ts";
import type { ProgramOptions } from "../programs.ts";

/** One command of dbt-remote as a server would have got it. */
export interface Recorded extends Result {
  readonly request: RunRequest;
  readonly envelope: NonNullable<RunRequest["envelope"]>;
  /** Paths of the snapshot with their modes. */
  readonly files: ReadonlyMap<string, string>;
  /** Bodies of all requests, for texts that must not be in them. */
  readonly sent: string;
  /** Method and path of all requests. */
  readonly requests: readonly string[];
}

export interface RecordOptions extends ProgramOptions {
  /** As a server that has this project already; `files` is then empty. */
  readonly knowsProject?: boolean;
}

/** Runs dbt-remote against a server that refuses what it gets. Throws where nothing was posted. */
export async function record(args: readonly string[], options: RecordOptions = {}): Promise<Recorded> {
  let request: RunRequest | undefined;
  const snapshots = new Map<string, ReadonlyMap<string, string>>();
  const bodies: Buffer[] = [];
  const requests: string[] = [];
  const server = createServer(async (incoming, response) => {
    const body = await buffer(incoming);
    bodies.push(body);
    const url = incoming.url ?? "";
    requests.push(`${incoming.method} ${url}`);
    const answer = (status: number, value: unknown) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    if (url.startsWith("/api/v1/snapshots/")) {
      const { base, put } = JSON.parse(body.toString()) as SnapshotRequest;
      if (base !== undefined) return answer(409, failure("snapshot_base_unknown", "only whole lists here"));
      const id = url.slice(url.lastIndexOf("/") + 1);
      snapshots.set(id, new Map(put.map(([path, mode]) => [path, mode])));
      return answer(200, { id, missing: [] });
    }
    const posted = JSON.parse(body.toString()) as RunRequest;
    if (options.knowsProject !== true && !snapshots.has(posted.snapshotId ?? ""))
      return answer(409, failure("snapshot_unknown", "not seen yet"));
    request = posted;
    return answer(400, failure("bad_request", "recorded"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const env = { DBT_SERVER_URL: `http://127.0.0.1:${port}`, DBT_SERVER_TOKEN: "for-the-recorder", ...options.env };
    const result = await cli(args, { ...options, env });
    if (request === undefined) throw new Error(`nothing was posted:\n${result.stderr}`);
    const files = snapshots.get(request.snapshotId ?? "") ?? new Map<string, string>();
    const sent = Buffer.concat(bodies).toString();
    return { ...result, request, envelope: request.envelope ?? {}, files, sent, requests };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

function failure(code: string, message: string) {
  return { error: { code, message } };
}
