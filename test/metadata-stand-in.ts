/** Stands in for the metadata server of Google Cloud: tokens of the service account that a container runs as. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface MetadataStandIn {
  /** For `GCE_METADATA_HOST`. */
  readonly host: string;
  /** Audiences that ID tokens were asked for. */
  readonly audiences: readonly string[];
  /** The next requests, so many, go wrong in ways that pass. */
  fail(times: number): void;
  close(): Promise<void>;
}

export interface MetadataOptions {
  /** Default: a text that no one can check. */
  readonly idToken?: (audience: string) => string | Promise<string>;
}

export async function startMetadata({ idToken = () => "e30.e30.e30" }: MetadataOptions = {}): Promise<MetadataStandIn> {
  const audiences: string[] = [];
  let failures = 0;
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://metadata");
    const send = (status: number, body: string): void => void response.writeHead(status).end(body);
    if (failures > 0) {
      failures -= 1;
      if (failures % 2 === 0) return void request.socket.resetAndDestroy();
      return send(503, "try again");
    }
    if (request.headers["metadata-flavor"] !== "Google") return send(403, "Missing Metadata-Flavor:Google header.");
    const what = pathname.replace("/computeMetadata/v1/instance/service-accounts/default/", "");
    if (what === "token") {
      return send(200, JSON.stringify({ access_token: "ya29.stand-in", expires_in: 3599, token_type: "Bearer" }));
    }
    const audience = searchParams.get("audience");
    if (what !== "identity") return send(404, "not found");
    if (audience === null) return send(400, "non-empty audience parameter required");
    audiences.push(audience);
    send(200, await idToken(audience));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    audiences,
    fail(times) {
      failures = times;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
