/** `dbt-remote logs RUN`: what a run has printed, each stream where it belongs. */
import { findServerAgain } from "../find-server.ts";
import { type Channel, follow } from "../follow.ts";
import { type OwnCommand, startSession } from "../own-verb.ts";
import { findRun, oneRef } from "../run-ref.ts";

const PAGE_BYTES = 1024 * 1024;

export async function logs(command: OwnCommand): Promise<number> {
  const { context, positionals } = command;
  const ref = oneRef("logs", positionals);
  const { settings, output, client: find } = await startSession(command);
  let client = await find();
  const run = await findRun(context, client, settings, ref);
  const { quiet } = settings.values;
  const print = async (channel: Channel, bytes: Uint8Array) => {
    if (channel === "out") await output.out.write(bytes);
    else if (channel === "err" || !quiet) await output.err.write(bytes);
  };
  if (settings.values.follow) {
    await follow({
      client,
      runId: run.id,
      reconnect: async () => {
        client = await findServerAgain(context, settings, client);
        return client;
      },
      sink: {
        run: () => undefined,
        bytes: print,
        broken: (reason) => output.say(`connection lost (${reason}); trying again`),
        mended: () => output.say("connected again"),
      },
      leaveAt: () => false,
      giveUpAfterMs: settings.values.reconnectTimeout,
    });
  } else {
    for (let offset = 0; ; ) {
      const { segments, nextOffset } = await client.log(run.id, { offset, maxBytes: PAGE_BYTES });
      for (const { channel, bytes } of segments) await print(channel, Buffer.from(bytes, "base64"));
      if (nextOffset <= offset) break;
      offset = nextOffset;
    }
  }
  await output.flush();
  return 0;
}
