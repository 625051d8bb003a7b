/** `dbt-remote attach RUN`: as if the command had been typed here and never been left. */
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
    const mayWrite = places !== undefined && (await isNewest(client, run, places.checkout));
    if (!mayWrite) {
      const why = places === undefined ? "it was not started here" : "a newer run has worked on this project";
      output.say(`target/ is left alone: ${why} (dbt-remote artifacts ${run.id} --output DIR)`);
    }
    return await followRun({
      context,
      settings,
      client,
      run,
      output,
      interrupts,
      quiet: settings.values.quiet,
      places: mayWrite ? places : undefined,
      withheld: [],
      mayCancel: places !== undefined,
    });
  } finally {
    interrupts.stop();
    await output.flush();
  }
}
