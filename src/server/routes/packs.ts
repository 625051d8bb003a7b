/** Contents of files: many small ones in a pack, a large one in parts. */
import type { Readable } from "node:stream";

import { paths } from "../../api/paths.ts";
import { Type } from "../../api/schema-builder.ts";
import { PackAnswer, UploadAnswer } from "../../api/schemas/snapshots.ts";
import { AppError } from "../../core/errors.ts";
import { readPack } from "../../snapshot/read-pack.ts";
import type { IncomingContent } from "../../state/port.ts";
import { bodyBytes, bodyStream } from "./bodies.ts";
import type { App, AppContext } from "./context.ts";

const PACK_LIMITS = { maxEntries: 100_000, maxBytes: 256 * 1024 * 1024, maxEntryBytes: 64 * 1024 * 1024 };
/** Up to this size a file is read as a whole. */
const WHOLE_BYTES = 1024 * 1024;
/** The largest file that can be sent. */
const MAX_CONTENT_BYTES = 16 * 1024 * 1024 * 1024;

const ShaParams = Type.Object({ sha256: Type.String({ pattern: "^[0-9a-f]{64}$" }) });

export function addPackRoutes(app: App, { state: { contents } }: AppContext): void {
  app.post(
    paths.packs,
    {
      schema: {
        summary: "Keeps contents: a tar.gz whose files are named by their SHA-256",
        description: "Each is verified. At most 16 MB; what arrived whole before an error is kept.",
        consumes: ["application/octet-stream"],
        response: { 200: PackAnswer },
      },
    },
    async (request) => {
      const stored = await contents.putMany(filesOf(bodyStream(request.body)));
      return { stored };
    },
  );

  app.get(
    paths.content(":sha256"),
    { schema: { summary: "How much of a content has arrived", params: ShaParams, response: { 200: UploadAnswer } } },
    ({ params: { sha256 } }) => uploaded(sha256),
  );

  app.patch(
    paths.content(":sha256"),
    {
      schema: {
        summary: "A part of a content, with Content-Range: bytes FIRST-LAST/TOTAL",
        description:
          "A part at another place than the end is refused with 416 and details.offset, the place to go on at.",
        consumes: ["application/octet-stream"],
        params: ShaParams,
        response: { 200: UploadAnswer },
      },
    },
    async (request) => {
      const { sha256 } = request.params;
      const { first, last, total } = readRange(request.headers["content-range"]);
      const bytes = await bodyBytes(request.body);
      if (bytes.length !== last - first + 1) {
        throw new AppError(
          "bad_request",
          `Content-Range says ${last - first + 1} bytes, the body has ${bytes.length}.`,
        );
      }
      const known = await uploaded(sha256);
      if (known.complete) return known;
      const offset = await contents.appendUpload(sha256, first, bytes);
      if (offset < total) return { offset, complete: false };
      await contents.finishUpload(sha256);
      return { offset, complete: true };
    },
  );

  async function uploaded(sha256: string): Promise<UploadAnswer> {
    const isThere = (await contents.missing([sha256])).length === 0;
    if (!isThere) return { offset: await contents.uploadedBytes(sha256), complete: false };
    await contents.touch([sha256]);
    return { offset: 0, complete: true };
  }
}

async function* filesOf(pack: Readable): AsyncGenerator<IncomingContent> {
  for await (const item of readPack(pack, PACK_LIMITS)) {
    if (!/^[0-9a-f]{64}$/.test(item.path) || item.link !== undefined) {
      throw new AppError(
        "bad_request",
        `The pack's file ${JSON.stringify(item.path.slice(0, 100))} is not named by its SHA-256.`,
      );
    }
    // Thousands of small files as streams would cost seconds and a hundred megabytes.
    yield { sha256: item.path, size: item.size, content: item.size <= WHOLE_BYTES ? await item.bytes() : item.content };
  }
}

function readRange(header: string | undefined): { first: number; last: number; total: number } {
  const [, first, last, total] = (/^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header ?? "") ?? []).map(Number);
  if (first !== undefined && last !== undefined && total !== undefined && first <= last && last < total) {
    if (total <= MAX_CONTENT_BYTES) return { first, last, total };
    throw new AppError("too_large", `A file of ${total} bytes cannot be sent; ${MAX_CONTENT_BYTES} is the most.`);
  }
  throw new AppError("bad_request", `The header Content-Range is ${JSON.stringify(header ?? "")}.`, {
    hint: "For example: Content-Range: bytes 0-1048575/4194304",
  });
}
