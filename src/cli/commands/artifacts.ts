/** `dbt-remote artifacts RUN`: lists what a run made, or writes all of it to a folder. */
import path from "node:path";
import { Readable } from "node:stream";
import { AppError } from "../../core/errors.ts";
import { readPack } from "../../snapshot/read-pack.ts";
import { PACK_LIMITS } from "../apply-artifacts.ts";
import { type OwnCommand, startSession } from "../own-verb.ts";
import { findRun, oneRef } from "../run-ref.ts";
import { type KnownFolders, makeFolders, writeWhole } from "../safe-write.ts";
import { table } from "../table.ts";
import { realPath } from "../wire-paths.ts";

export async function artifacts(command: OwnCommand): Promise<number> {
  const { context, positionals } = command;
  const ref = oneRef("artifacts", positionals);
  const { settings, output, client: find } = await startSession(command);
  const client = await find();
  const run = await findRun(context, client, settings, ref);
  const { output: folder, json } = settings.values;
  if (folder === undefined) {
    const { artifacts: found } = await client.artifacts(run.id);
    if (json) await output.out.write(`${JSON.stringify(found, null, 2)}\n`);
    else if (found.length === 0) output.say(`run ${run.number} has no artifacts`);
    else
      await output.out.write(
        table(
          ["SIZE", "PATH"],
          found.map(({ path: at, size }) => [String(size), at]),
        ),
      );
  } else {
    const root = realPath(path.resolve(context.cwd, folder));
    const source = Readable.from(await client.artifactPack(run.id), { objectMode: false });
    const known: KnownFolders = new Set();
    let files = 0;
    for await (const item of readPack(source, PACK_LIMITS)) {
      if (item.link !== undefined) continue;
      const file = path.join(root, ...item.path.split("/"));
      makeFolders(root, path.dirname(file), known);
      await writeWhole(file, item.content, item.mode === "100755" ? 0o755 : 0o644);
      files += 1;
    }
    if (files === 0) throw new AppError("artifact_not_found", `Run ${run.number} has no artifacts.`);
    output.say(`${files} files of run ${run.number} are in ${root}`);
  }
  await output.flush();
  return 0;
}
