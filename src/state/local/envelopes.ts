/** Envelopes as sealed files, under a key that only the owner of the data folder can read. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../core/errors.ts";
import { checkKey } from "../names.ts";
import type { EnvelopeStore, JsonObject } from "../port.ts";
import { atEdge, corrupt } from "./errors.ts";
import { isAbsent, namesIn, removeFile } from "./files.ts";
import { placeOnce, placeOver, type Stager } from "./stager.ts";

const ALGORITHM = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface EnvelopePaths {
  readonly folder: string;
  readonly key: string;
}

export function createEnvelopes(paths: EnvelopePaths, stager: Stager): EnvelopeStore {
  const pathOf = (runId: string): string => join(paths.folder, checkKey(runId));
  const edge = <T>(doing: string, action: () => Promise<T>): Promise<T> => atEdge(doing, paths.folder, action);
  let key: Buffer | undefined;

  async function loadKey(): Promise<Buffer> {
    key ??= readKey(paths.key);
    if (key === undefined) {
      // Several processes may make one; the first to place it wins, and all read that.
      await placeOnce(await stager.stage(randomBytes(KEY_BYTES)), paths.key);
      key = readKey(paths.key);
    }
    if (key === undefined) throw corrupt(paths.key, "the key went away while it was made");
    return key;
  }

  return {
    put: (runId, envelope) =>
      edge("storing an envelope", async () => {
        const path = pathOf(runId);
        const sealed = seal(await loadKey(), runId, envelope);
        await placeOver(await stager.stage(sealed), path);
      }),
    take: (runId) =>
      edge("opening an envelope", async () => {
        const path = pathOf(runId);
        const sealed = readIfThere(path);
        if (sealed === undefined) return undefined;
        const envelope = unseal(await loadKey(), runId, sealed, path);
        // Who removes it has it: a second taker finds nothing to remove.
        return (await removeFile(path)) ? envelope : undefined;
      }),
    discard: (runId) =>
      edge("discarding an envelope", async () => {
        await removeFile(pathOf(runId));
      }),
    expire: (putBeforeMs) =>
      edge("expiring envelopes", async () => {
        let expired = 0;
        for (const name of await namesIn(paths.folder)) {
          if (await removeFile(join(paths.folder, name), putBeforeMs)) expired += 1;
        }
        return expired;
      }),
  };
}

/** Small, and wanted before anything else of a run: a detour over another thread would take longer. */
function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Undefined where there is no key yet. Throws `data_folder` where others could read it. */
function readKey(path: string): Buffer | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if ((found.mode & 0o077) !== 0) {
    throw new AppError("data_folder", `${path} can be read by others (mode ${(found.mode & 0o777).toString(8)}).`, {
      hint: `It seals profiles and secrets: chmod 600 '${path}'`,
    });
  }
  const key = readFileSync(path);
  if (key.length !== KEY_BYTES) throw corrupt(path, `the key has ${key.length} bytes instead of ${KEY_BYTES}`);
  return key;
}

/** Nonce, tag, ciphertext. The run's id is authenticated, so that no envelope can be passed to another run. */
function seal(key: Buffer, runId: string, envelope: JsonObject): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, nonce).setAAD(Buffer.from(runId));
  const text = Buffer.concat([cipher.update(JSON.stringify(envelope), "utf8"), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]);
}

function unseal(key: Buffer, runId: string, sealed: Buffer, path: string): JsonObject {
  try {
    const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(runId))
      .setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    const text = Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
    return JSON.parse(text.toString("utf8")) as JsonObject;
  } catch (error) {
    throw corrupt(path, "the envelope can't be opened with envelope.key; post the run again", error);
  }
}
