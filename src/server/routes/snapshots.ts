/** Snapshots: the list of a project's files. Their contents come as packs or in parts. */

import { paths } from "../../api/paths.ts";
import { Type } from "../../api/schema-builder.ts";
import { SnapshotAnswer, SnapshotRequest } from "../../api/schemas/snapshots.ts";
import { AppError } from "../../core/errors.ts";
import { applyDelta, parseEntries } from "../../snapshot/entry-rules.ts";
import type { StoredEntry } from "../../state/snapshots.ts";
import type { App, AppContext } from "./context.ts";

/** 200,000 files of 150 bytes each fit in. */
const BODY_LIMIT = 64 * 1024 * 1024;

export function addSnapshotRoutes(app: App, { stores: { snapshots } }: AppContext): void {
  app.put(
    paths.snapshot(":id"),
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        summary: "Keeps a list of files, whole or as a difference to an earlier one",
        params: Type.Object({ id: Type.String({ pattern: "^v1-[0-9a-f]{64}$" }) }),
        body: SnapshotRequest,
        response: { 200: SnapshotAnswer },
      },
    },
    async ({ params: { id }, body: { base, remove = [], put } }) => {
      const entries = base === undefined ? whole(remove, put) : applyDelta(await baseEntries(base), remove, put);
      return { id, missing: await snapshots.put(id, entries) };
    },
  );

  function whole(remove: readonly string[], put: unknown): StoredEntry[] {
    if (remove.length > 0) throw new AppError("bad_request", `"remove" needs a "base".`);
    return parseEntries(put);
  }

  async function baseEntries(base: string): Promise<StoredEntry[]> {
    if (await snapshots.known(base)) return snapshots.load(base);
    throw new AppError("snapshot_base_unknown", `The server does not have snapshot ${base}.`, {
      hint: "Send the whole list instead of a difference",
    });
  }
}
