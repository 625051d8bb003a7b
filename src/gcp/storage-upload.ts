/** How objects are written: small ones in one request, large ones in parts that can each be sent again. */
import { randomUUID } from "node:crypto";
import { AppError } from "../core/errors.ts";
import type { Rest, RestAnswer } from "./rest.ts";
import type { StoredObject } from "./storage.ts";

export interface UploadOptions {
  /** Create only. */
  readonly onlyNew?: boolean;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Customer-managed key that encrypts the object. */
  readonly kmsKeyName?: string | undefined;
}

export type Upload = { readonly sentBytes: number } & (
  | { readonly kind: "stored"; readonly object: StoredObject }
  /** The name is taken: perhaps by this very upload, where an answer of it was lost. */
  | { readonly kind: "taken"; readonly isRepeat: boolean; readonly putId: string }
);

export interface UploaderParams {
  readonly rest: Rest;
  readonly bucket: string;
  readonly baseUrl: string;
  readonly needs: string;
  /** Throws where the body of a 404 says that the bucket itself is absent. */
  readonly checkBucket: (body: string) => void;
  readonly parse: (value: unknown) => StoredObject;
}

/** A multiple of 256 KiB, as parts have to be; what is not larger goes in one request. */
const PART_BYTES = 8 * 1024 * 1024;

export function createUploader(params: UploaderParams) {
  const { rest, bucket, baseUrl, needs, parse } = params;

  function urlOf(uploadType: string, name: string, { onlyNew, kmsKeyName }: UploadOptions): string {
    const query = new URLSearchParams({
      ...{ uploadType, name },
      ...(onlyNew === true && { ifGenerationMatch: "0" }),
      ...(kmsKeyName !== undefined && { kmsKeyName }),
    });
    return `${baseUrl}/upload/storage/v1/b/${encodeURIComponent(bucket)}/o?${query}`;
  }

  function outcome(answer: RestAnswer, name: string, sentBytes: number, putId: string): Upload {
    if (answer.status === 412) return { kind: "taken", sentBytes, isRepeat: answer.isRepeat, putId };
    if (answer.status === 404) {
      params.checkBucket(answer.body.toString("utf8"));
      throw new AppError("state_unavailable", `Cloud Storage has no place for ${name}: ${answer.body}`);
    }
    return { kind: "stored", sentBytes, object: parse(answer.json()) };
  }

  async function putWhole(name: string, content: Uint8Array, options: UploadOptions): Promise<Upload> {
    const putId = randomUUID();
    const boundary = `part-${putId}`;
    const meta = JSON.stringify({ name, metadata: { ...options.metadata, putId } });
    const body = Buffer.concat([
      Buffer.from(`--${boundary}\r\ncontent-type: application/json; charset=utf-8\r\n\r\n${meta}\r\n`),
      Buffer.from(`--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`),
      content,
      Buffer.from(`\r\n--${boundary}--\r\n`),
    ]);
    const answer = await rest.request({
      method: "POST",
      url: urlOf("multipart", name, options),
      headers: { "content-type": `multipart/related; boundary=${boundary}` },
      body,
      answers: [404, 412],
      doing: `writing ${name}`,
      needs,
    });
    return outcome(answer, name, content.byteLength, putId);
  }

  /** `first` is the first part; `rest` brings the others, the last of them the shorter one. */
  async function putInParts(name: string, parts: AsyncGenerator<Part>, options: UploadOptions): Promise<Upload> {
    const putId = randomUUID();
    const doing = `writing ${name}`;
    const started = await rest.request({
      method: "POST",
      url: urlOf("resumable", name, options),
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ metadata: { ...options.metadata, putId } }),
      answers: [404, 412],
      doing,
      needs,
    });
    const session = started.headers.get("location");
    if (session === null) return outcome(started, name, 0, putId);
    let offset = 0;
    try {
      for await (const { bytes, isLast } of parts) {
        const answer = await putPart({
          session,
          doing,
          bytes,
          offset,
          total: isLast ? offset + bytes.length : undefined,
        });
        offset += bytes.length;
        if (answer !== undefined) return outcome(answer, name, offset, putId);
      }
    } catch (error) {
      // What was sent so far is forgotten; Google does so by itself after a week.
      await rest
        .request({ method: "DELETE", url: session, answers: [404, 410, 499], doing, needs })
        .catch(() => undefined);
      throw error;
    }
    throw new AppError("state_unavailable", `Cloud Storage did not end the upload of ${name}.`);
  }

  interface PartParams {
    readonly session: string;
    readonly doing: string;
    readonly bytes: Buffer;
    readonly offset: number;
    readonly total: number | undefined;
  }

  /** Undefined while more is expected. */
  async function putPart({ session, doing, bytes, offset, total }: PartParams): Promise<RestAnswer | undefined> {
    const end = offset + bytes.length;
    for (let from = offset; ; ) {
      const known = from === end ? "*" : `${from}-${end - 1}`;
      const answer = await rest.request({
        method: "PUT",
        url: session,
        headers: { "content-range": `bytes ${known}/${total ?? "*"}` },
        body: bytes.subarray(from - offset),
        answers: [308, 404, 412],
        doing,
        needs,
      });
      if (answer.status !== 308) return answer;
      // Google may keep less than it was sent.
      const [, last] = /bytes=0-(\d+)/.exec(answer.headers.get("range") ?? "") ?? [];
      const kept = last === undefined ? 0 : Number(last) + 1;
      if (kept >= end && total === undefined) return undefined;
      if (kept < offset || (kept <= from && from > offset)) {
        throw new AppError("state_unavailable", `Cloud Storage lost parts of what was sent while ${doing}.`);
      }
      from = Math.min(kept, end);
    }
  }

  return {
    async put(name: string, content: Uint8Array | AsyncIterable<Uint8Array>, options: UploadOptions): Promise<Upload> {
      if (content instanceof Uint8Array && content.byteLength <= PART_BYTES) return putWhole(name, content, options);
      const parts = inParts(content instanceof Uint8Array ? [content] : content);
      const first = await parts.next();
      const part = first.done === true ? { bytes: Buffer.alloc(0), isLast: true } : first.value;
      if (part.isLast) return putWhole(name, part.bytes, options);
      return putInParts(name, startingWith(part, parts), options);
    },
  };
}

interface Part {
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

/** Parts of one size, but the last. It is known to be the last only once the source has ended well. */
async function* inParts(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Part> {
  let chunks: Uint8Array[] = [];
  let size = 0;
  for await (const item of source) {
    let chunk = item;
    while (size + chunk.byteLength > PART_BYTES) {
      const taken = PART_BYTES - size;
      yield { bytes: Buffer.concat([...chunks, chunk.subarray(0, taken)]), isLast: false };
      chunk = chunk.subarray(taken);
      chunks = [];
      size = 0;
    }
    chunks.push(chunk);
    size += chunk.byteLength;
  }
  yield { bytes: Buffer.concat(chunks), isLast: true };
}

async function* startingWith(first: Part, rest: AsyncGenerator<Part>): AsyncGenerator<Part> {
  yield first;
  yield* rest;
}
