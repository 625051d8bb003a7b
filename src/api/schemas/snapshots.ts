/** How a project is sent. */
import type { Static } from "typebox";
import { Type } from "../schema-builder.ts";
import { literals, object, RelativePath, Sha256, SnapshotId } from "./parts.ts";

export const SnapshotMode = literals(["100644", "100755", "120000"]);
/** [path, mode, sha256, size in bytes] */
export const SnapshotEntryRow = Type.Unsafe<[string, "100644" | "100755" | "120000", string, number]>({
  type: "array",
  prefixItems: [{ type: "string" }, { type: "string" }, { type: "string" }, { type: "integer" }],
  minItems: 4,
  maxItems: 4,
});
export const SnapshotRequest = object({
  /** An earlier snapshot that `remove` and `put` start from; without it `put` is the whole tree. */
  base: Type.Optional(SnapshotId),
  remove: Type.Optional(Type.Array(RelativePath)),
  put: Type.Array(SnapshotEntryRow),
});
export type SnapshotRequest = Static<typeof SnapshotRequest>;

export const SnapshotAnswer = object({
  id: SnapshotId,
  /** Contents to send before the snapshot can be run, in packs or, for large ones, in parts. */
  missing: Type.Array(Sha256),
});
export type SnapshotAnswer = Static<typeof SnapshotAnswer>;

export const PackAnswer = object({ stored: Type.Integer() });
export type PackAnswer = Static<typeof PackAnswer>;

export const UploadAnswer = object({ offset: Type.Integer(), complete: Type.Boolean() });
export type UploadAnswer = Static<typeof UploadAnswer>;
