/** The form that an older client posts: texts, and one file. */
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { AppError } from "../../core/errors.ts";

export interface OlderForm {
  readonly fields: ReadonlyMap<string, string>;
  readonly files: ReadonlyMap<string, Buffer>;
}

export const MAX_FORM_BYTES: number = 48 * 1024 * 1024;
const MAX_FIELD_BYTES = 1024 * 1024;

/** Reads the whole body. Throws `bad_request` or `too_large`. */
export async function readForm(body: unknown, contentType: string | undefined): Promise<OlderForm> {
  if (!(body instanceof Readable)) throw new AppError("bad_request", "The body has to be multipart/form-data.");
  const { default: busboy } = await import("@fastify/busboy");
  const fields = new Map<string, string>();
  const files = new Map<string, Buffer>();
  try {
    const parser = new busboy.Busboy({
      headers: { "content-type": contentType ?? "" },
      limits: { fields: 30, fieldNameSize: 100, fieldSize: MAX_FIELD_BYTES, files: 1, fileSize: MAX_FORM_BYTES },
    });
    let refusal: AppError | undefined;
    const refuse = (what: string): void => {
      refusal ??= new AppError("too_large", `${what} is too large.`);
    };
    parser.on("field", (name, value, _nameTruncated, valueTruncated) => {
      if (valueTruncated) refuse(`The field ${JSON.stringify(name)}`);
      fields.set(name, value);
    });
    parser.on("file", (name, stream) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("limit", () => refuse(`The file ${JSON.stringify(name.slice(0, 100))}`));
      stream.on("end", () => files.set(name, Buffer.concat(chunks)));
      stream.on("error", (error) => parser.destroy(error));
    });
    for (const limit of ["fieldsLimit", "filesLimit", "partsLimit"] as const) {
      parser.on(limit, () => refuse("The number of parts of the form"));
    }
    body.on("error", (error) => parser.destroy(error));
    body.once("close", () => {
      if (!body.readableEnded) parser.destroy(new Error("the body was cut off"));
    });
    await finished(body.pipe(parser));
    if (refusal !== undefined) throw refusal;
  } catch (cause) {
    // The rest is read, so that the connection can carry the answer.
    body.resume();
    if (cause instanceof AppError) throw cause;
    const why = cause instanceof Error ? `: ${cause.message.slice(0, 200)}` : "";
    throw new AppError("bad_request", `The form can't be read${why}.`, { cause });
  }
  return { fields, files };
}
