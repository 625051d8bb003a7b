/** Bodies of bytes, with a limit that counts what really comes. */
import { Readable } from "node:stream";
import { AppError } from "../../core/errors.ts";
import type { App } from "./context.ts";

/** What a pack or a part has at most; a little above the 16 MB that clients keep to. */
export const MAX_UPLOAD_BYTES = 17 * 1024 * 1024;

/** Bytes reach the route as a stream, whatever they are called. */
export function acceptBytes(app: App): void {
  const types = ["application/octet-stream", "application/gzip", "application/x-gzip", "application/x-tar"];
  app.addContentTypeParser(types, (_request, payload, done) => done(null, payload));
}

/** The body as a stream that fails with `too_large` beyond the limit. */
export function bodyStream(body: unknown): Readable {
  if (!(body instanceof Readable)) {
    throw new AppError("bad_request", "The body has to be bytes.", {
      hint: "Send it as Content-Type: application/octet-stream",
    });
  }
  return Readable.from(limited(body), { objectMode: false });
}

export async function bodyBytes(body: unknown): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of bodyStream(body)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function* limited(body: Readable): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of body) {
    size += (chunk as Buffer).length;
    if (size > MAX_UPLOAD_BYTES) {
      throw new AppError("too_large", `The body has more than ${MAX_UPLOAD_BYTES} bytes.`, {
        hint: "Send it in several parts",
      });
    }
    yield chunk as Buffer;
  }
}
