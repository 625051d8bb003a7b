/** Files out of a ZIP in memory. Its names and sizes are checked: it comes from anyone who may post. */
import { buffer } from "node:stream/consumers";
import { AppError } from "../../core/errors.ts";

const MAX_FILES = 5000;

/** Contents by name; folders are left out. Throws `bad_request`, or `too_large` where more than `maxBytes` come out of it. */
export async function readZip(archive: Buffer, maxBytes: number): Promise<Map<string, Buffer>> {
  const { default: yauzl } = await import("yauzl");
  const files = new Map<string, Buffer>();
  let left = maxBytes;
  try {
    const zip = await yauzl.fromBufferPromise(archive, { strictFileNames: true });
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName.endsWith("/")) continue;
      left -= entry.uncompressedSize;
      if (left < 0 || files.size >= MAX_FILES) {
        throw new AppError("too_large", `The archive holds more than ${maxBytes} bytes or ${MAX_FILES} files.`);
      }
      // Content that is longer than it was said to be is an error of the stream.
      files.set(entry.fileName, await buffer(await zip.openReadStreamPromise(entry)));
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    const why = cause instanceof Error ? `: ${cause.message.slice(0, 200)}` : "";
    throw new AppError("bad_request", `The archive can't be read${why}.`, { hint: "It has to be a ZIP", cause });
  }
  return files;
}
