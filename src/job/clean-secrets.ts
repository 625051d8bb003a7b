/** Takes secret values out of files that dbt wrote, where they lie: what is kept and what goes into State is then the same. */
import {
  createReadStream,
  createWriteStream,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { pipeline } from "node:stream/promises";
import { createScrubber } from "../core/scrub.ts";

/** Up to this size a file is looked at in one piece, and only written when there is something to hide. */
const WHOLE_BYTES = 64 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;

/** `binary`: it holds a secret and is no text, so that masking would break it. It is left as it is. */
export type Cleaned = "clean" | "masked" | "binary";

/** Masks the secrets in a file. */
export async function cleanFile(path: string, secrets: readonly string[]): Promise<Cleaned> {
  if (secrets.length === 0) return "clean";
  return statSync(path).size <= WHOLE_BYTES ? cleanWhole(path, secrets) : await cleanInPieces(path, secrets);
}

function cleanWhole(path: string, secrets: readonly string[]): Cleaned {
  const content = readFileSync(path);
  const scrubber = createScrubber(secrets);
  const masked = Buffer.concat([scrubber.push(content), scrubber.flush()]);
  if (masked.equals(content)) return "clean";
  if (content.includes(0)) return "binary";
  writeFileSync(path, masked);
  return "masked";
}

async function cleanInPieces(path: string, secrets: readonly string[]): Promise<Cleaned> {
  const draft = `${path}.masked`;
  const scrubber = createScrubber(secrets);
  let isBinary = false;
  let isChanged = false;
  try {
    await pipeline(
      createReadStream(path, { highWaterMark: CHUNK_BYTES }),
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          isBinary ||= chunk.includes(0);
          const masked = scrubber.push(chunk);
          isChanged ||= !masked.equals(chunk);
          yield masked;
        }
        yield scrubber.flush();
      },
      createWriteStream(draft, { mode: 0o600 }),
    );
    if (!isChanged) return "clean";
    if (isBinary) return "binary";
    renameSync(draft, path);
    return "masked";
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Whether something in a content would be masked. */
export function holdsSecret(content: Buffer, secrets: readonly string[]): boolean {
  if (secrets.length === 0) return false;
  const scrubber = createScrubber(secrets);
  return !Buffer.concat([scrubber.push(content), scrubber.flush()]).equals(content);
}
