/** A project that came with the request itself, as small clients send it: files in base64. */
import { AppError } from "../../core/errors.ts";
import type { RunMode } from "../../core/run.ts";
import { type SnapshotEntry, type SnapshotRow, snapshotId } from "../../snapshot/entry.ts";
import { parseEntries } from "../../snapshot/entry-rules.ts";
import { sha256Of } from "../../snapshot/hash.ts";

export interface InlineFile {
  readonly path: string;
  readonly contentBase64: string;
}

export interface InlineProject {
  readonly mode: RunMode;
  readonly snapshotId: string;
  readonly entries: readonly SnapshotEntry[];
  /** Contents by their SHA-256. */
  readonly contents: ReadonlyMap<string, Buffer>;
  /** Text of profiles.yml, which never becomes part of a snapshot. */
  readonly profiles: string | null;
}

const MANIFEST = "manifest.json";
/** Where dbt looks for the manifest that it is to work from. */
const TARGET_MANIFEST = "target/manifest.json";

/** Throws `bad_project` where what a run needs is not among the files. */
export function readInlineFiles(files: readonly InlineFile[]): InlineProject {
  const byPath = new Map<string, Buffer>();
  for (const { path, contentBase64 } of files) {
    const name = path.replace(/^(\.\/+)+/, "");
    if (byPath.has(name)) throw new AppError("bad_request", `The file ${JSON.stringify(name)} is there twice.`);
    byPath.set(name, decode(name, contentBase64));
  }
  const profiles = byPath.get("profiles.yml")?.toString("utf8") ?? null;
  byPath.delete("profiles.yml");
  if (!byPath.has("dbt_project.yml")) {
    throw new AppError("bad_project", "dbt_project.yml is not among the files.", {
      hint: `Send {"path": "dbt_project.yml", "contentBase64": "…"} among "files"`,
    });
  }
  const manifest = byPath.get(MANIFEST) ?? byPath.get(TARGET_MANIFEST);
  if (manifest === undefined && ![...byPath.keys()].some((path) => path.endsWith(".sql"))) {
    throw new AppError("bad_project", "manifest.json is not among the files, nor is any model.", {
      hint: "Send the manifest.json that `dbt parse` writes to target/, or all files of the project",
    });
  }
  if (manifest !== undefined) {
    byPath.delete(MANIFEST);
    byPath.set(TARGET_MANIFEST, manifest);
  }
  const contents = new Map<string, Buffer>();
  const rows: SnapshotRow[] = [];
  for (const [path, content] of byPath) {
    const sha256 = sha256Of(content);
    contents.set(sha256, content);
    rows.push([path, "100644", sha256, content.length]);
  }
  const entries = parseEntries(rows);
  return {
    mode: manifest === undefined ? "project" : "manifest",
    snapshotId: snapshotId(entries),
    entries,
    contents,
    profiles,
  };
}

function decode(path: string, base64: string): Buffer {
  const compact = base64.replace(/[\r\n]/g, "");
  if (/^[A-Za-z0-9+/]*={0,2}$/.test(compact) && compact.replace(/=+$/, "").length % 4 !== 1) {
    return Buffer.from(compact, "base64");
  }
  throw new AppError("bad_request", `The content of ${JSON.stringify(path)} is not base64.`, {
    hint: "For example: base64 -w0 dbt_project.yml",
  });
}
