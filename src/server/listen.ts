/** Takes a port, or says why that can't be. */
import type { AddressInfo } from "node:net";
import { AppError } from "../core/errors.ts";
import { urlHost } from "./loopback.ts";
import type { App } from "./routes/context.ts";

export interface Listening {
  readonly port: number;
  readonly url: string;
}

export async function listen(app: App, host: string, port: number): Promise<Listening> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw refusal(error, host, port);
  }
  const { port: actual } = app.server.address() as AddressInfo;
  return { port: actual, url: `http://${urlHost(host)}:${actual}` };
}

function refusal(error: unknown, host: string, port: number): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case "EADDRINUSE":
      return new AppError("port_in_use", `Port ${port} of ${host} is in use.`, {
        hint: `Take another: dbt-server --port ${port === 65_535 ? 8001 : port + 1} (or --port 0 for any free one)`,
        cause: error,
      });
    case "EACCES":
      return new AppError("port_in_use", `Port ${port} of ${host} may not be used by this account.`, {
        hint: "Take one above 1023: dbt-server --port 8001",
        cause: error,
      });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new AppError("bad_argument", `${host} is not an address of this machine.`, {
        hint: "For example: dbt-server --host 127.0.0.1",
        cause: error,
      });
    default:
      return error;
  }
}
