/** `dbt-remote attach RUN`: as if the command had been typed here and never been left. */
import type { Client } from "../../api/client.ts";
import { followRun } from "../follow-run.ts";
import { watchInterrupts } from "../interrupts.ts";
import { type OwnCommand, startSession } from "../own-verb.ts";
import { recallPlaces } from "../places.ts";
import { findRun, isNewest, oneRef } from "../run-ref.ts";

export async function attach(command: OwnCommand): Promise<number> {
  const { context, positionals } = command;
  const ref = oneRef("attach", positionals);
  const { settings, output, client: find } = await startSession(command);
  const interrupts = watchInterrupts(context.signals);
  try {
    const client = await find();
    const run = await findRun(context, client, settings, ref);
    // Known here only where this user started it on this machine; an older run must not undo a newer one's target/.
    const places = await recallPlaces(context.env, run.id);
    const leaveAlone = (why: string) =>
      output.say(`target/ is left alone: ${why} (dbt-remote artifacts ${run.id} --output DIR)`);
    const isStillNewest = async (now: Client): Promise<boolean> => {
      const isIt = places !== undefined && (await isNewest(now, run, places.checkout));
      if (!isIt)
        leaveAlone(places === undefined ? "it was not started here" : "a newer run has worked on this project");
      return isIt;
    };
    const mayWrite = await isStillNewest(client);
    return await followRun({
      context,
      settings,
      client,
      run,
      output,
      interrupts,
      quiet: settings.values.quiet,
      places: mayWrite ? places : undefined,
      mayWrite: isStillNewest,
      withheld: [],
      mayCancel: places !== undefined,
    });
  } finally {
    interrupts.stop();
    await output.flush();
  }
}
