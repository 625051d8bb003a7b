/** `dbt-remote logs RUN`: what a run has printed, each stream where it belongs. */
import { follow } from "../follow.ts";
import { type OwnCommand, startSession } from "../own-verb.ts";
import { findRun, oneRef } from "../run-ref.ts";
import { terminal } from "../terminal-sink.ts";

const PAGE_BYTES = 1024 * 1024;

export async function logs(command: OwnCommand): Promise<number> {
  const { context, positionals } = command;
  const ref = oneRef("logs", positionals);
  const { settings, output, client: find } = await startSession(command);
  const client = await find();
  const run = await findRun(context, client, settings, ref);
  const { reconnect, sink } = terminal({ context, settings, client, output, quiet: settings.values.quiet });
  if (settings.values.follow) {
    await follow({
      ...{ client, runId: run.id, reconnect, sink },
      leaveAt: () => false,
      giveUpAfterMs: settings.values.reconnectTimeout,
    });
  } else {
    for (let offset = 0; ; ) {
      const { segments, nextOffset } = await client.log(run.id, { offset, maxBytes: PAGE_BYTES });
      for (const { channel, bytes } of segments) await sink.bytes(channel, Buffer.from(bytes, "base64"));
      if (nextOffset <= offset) break;
      offset = nextOffset;
    }
  }
  await output.flush();
  return 0;
}
