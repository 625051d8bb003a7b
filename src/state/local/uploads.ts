/** Unfinished uploads of large contents: one growing file each. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { AppError } from "../../core/errors.ts";
import { checkSha256 } from "../names.ts";
import { namesIn, removeFile, statFile } from "./files.ts";
import { makeFolder } from "./stager.ts";

export interface UploadsParams {
  readonly folder: string;
  readonly staged: string;
  /** Gives a verified file its place among the contents. */
  readonly place: (sha256: string, path: string) => void;
  readonly now: () => number;
}

export interface Uploads {
  size(sha256: string): Promise<number>;
  append(sha256: string, offset: number, content: Uint8Array): Promise<number>;
  finish(sha256: string): Promise<void>;
  expire(unusedSinceMs: number): Promise<number>;
}

/** The error of bytes that are not what they were said to be. */
export function corruptContent(sha256: string, found: string): AppError {
  return new AppError("blob_corrupt", `Content ${sha256} arrived with another hash, ${found}.`, {
    hint: "The file changed or was damaged on its way; send it again.",
  });
}

export function createUploads({ folder, staged, place, now }: UploadsParams): Uploads {
  const pathOf = (sha256: string): string => join(folder, checkSha256(sha256));
  const turns = new Map<string, Promise<unknown>>();

  /** One after the other per upload: two clients may send the same file at once. */
  function inTurn<T>(sha256: string, action: () => Promise<T>): Promise<T> {
    const turn = (turns.get(sha256) ?? Promise.resolve()).then(action, action);
    const settled = turn.catch(() => undefined).finally(() => turns.get(sha256) === settled && turns.delete(sha256));
    turns.set(sha256, settled);
    return turn;
  }

  const size = async (sha256: string): Promise<number> => (await statFile(pathOf(sha256)))?.size ?? 0;

  return {
    size,
    append: (sha256, offset, content) =>
      inTurn(sha256, async () => {
        const end = await size(sha256);
        if (offset !== end) {
          throw new AppError("upload_offset", `The upload of ${sha256} goes on at ${end}, not at ${offset}.`, {
            details: { offset: end },
          });
        }
        makeFolder(folder);
        const file = await open(pathOf(sha256), "a", 0o600);
        try {
          await file.appendFile(content);
          await file.utimes(now() / 1000, now() / 1000);
        } finally {
          await file.close();
        }
        return end + content.byteLength;
      }),
    finish: (sha256) =>
      inTurn(sha256, async () => {
        const path = pathOf(sha256);
        if ((await statFile(path)) === undefined) {
          throw new AppError("upload_offset", `There is no upload of ${sha256}.`, { details: { offset: 0 } });
        }
        const hash = createHash("sha256");
        await pipeline(createReadStream(path), hash);
        const found = hash.digest("hex");
        if (found !== sha256) {
          await removeFile(path);
          throw corruptContent(sha256, found);
        }
        const file = await open(path, "r+");
        await file.sync().finally(() => file.close());
        place(sha256, path);
      }),
    async expire(unusedSinceMs) {
      const isHex = (name: string): boolean => /^[0-9a-f]{64}$/.test(name);
      const uploads = (await namesIn(folder)).filter(isHex).map((name) => join(folder, name));
      let expired = 0;
      for (const path of uploads) if (await removeFile(path, unusedSinceMs)) expired += 1;
      // What a crash left half-written.
      for (const name of await namesIn(staged)) await removeFile(join(staged, name), unusedSinceMs);
      return expired;
    },
  };
}
