/** `dbt-remote cancel RUN`: asks a run to stop, and leaves. */
import { type OwnCommand, startSession } from "../own-verb.ts";
import { findRun, oneRef } from "../run-ref.ts";

export async function cancel(command: OwnCommand): Promise<number> {
  const { context, positionals } = command;
  const ref = oneRef("cancel", positionals);
  const { settings, output, client: find } = await startSession(command);
  const client = await find();
  // As typed, so that the server can ask for the full id of another's run.
  const target = ref === "latest" ? (await findRun(context, client, settings, ref)).id : ref;
  const run = await client.cancel(target);
  if (settings.values.json) await output.out.write(`${JSON.stringify(run, null, 2)}\n`);
  else if (run.status === "cancelled") output.say(`run ${run.number} is cancelled`);
  else output.say(`run ${run.number} has been asked to stop (dbt-remote attach ${run.id} shows how it ends)`);
  await output.flush();
  return 0;
}
