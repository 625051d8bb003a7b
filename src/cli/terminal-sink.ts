/** A run's log on this terminal: each stream where it belongs, breaks told, and the server found again after one. */
import type { Client } from "../api/client.ts";
import type { CliContext } from "./context.ts";
import { findServerAgain } from "./find-server.ts";
import type { FollowSink } from "./follow.ts";
import type { Output } from "./output.ts";
import type { Settings } from "./settings.ts";

export interface TerminalOptions {
  readonly context: CliContext;
  readonly settings: Settings;
  readonly client: Client;
  readonly output: Output;
  /** Leaves out the job's own lines. */
  readonly quiet: boolean;
}

export interface LogTerminal {
  /** The one that was found last. */
  client(): Client;
  reconnect(): Promise<Client>;
  readonly sink: FollowSink;
}

/** For `follow`. */
export function terminal({ context, settings, output, quiet, ...options }: TerminalOptions): LogTerminal {
  let { client } = options;
  return {
    client: () => client,
    async reconnect() {
      client = await findServerAgain(context, settings, client);
      return client;
    },
    sink: {
      run: () => undefined,
      async bytes(channel, bytes) {
        if (channel === "out") await output.out.write(bytes);
        else if (channel === "err" || !quiet) await output.err.write(bytes);
      },
      broken: (reason) => output.say(`connection lost (${reason}); trying again`),
      mended: () => output.say("connected again"),
    },
  };
}
