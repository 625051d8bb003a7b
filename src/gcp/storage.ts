/** Objects of one Cloud Storage bucket. */
import { Readable } from "node:stream";
import { AppError } from "../core/errors.ts";
import type { Rest, RestAnswer, RestRequest } from "./rest.ts";
import { RetryLater } from "./retry.ts";
import { signedUrl, type UrlSigner } from "./signed-url.ts";
import { createUploader, type UploadOptions } from "./storage-upload.ts";
import type { GoogleUse, OnUse } from "./usage.ts";

export interface StoredObject {
  readonly name: string;
  readonly size: number;
  readonly generation: string;
  /** Changes with the metadata too. */
  readonly metageneration: string;
  /** When content or metadata changed last, ms since the epoch. */
  readonly modifiedAtMs: number;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ByteRange {
  readonly offset: number;
  /** May reach past the end. */
  readonly length: number;
}

export interface ListOptions {
  readonly prefix: string;
  /** First name wanted, inclusive. */
  readonly startOffset?: string;
  /** Default: all. */
  readonly limit?: number;
}

export interface RemoveOptions {
  readonly generation?: string;
  readonly metageneration?: string;
}

/** Sources of one compose. */
export const MAX_SOURCES = 32;

/** Names are taken as they are. What is absent is undefined or false; every failure is thrown as `AppError`. */
export interface Storage {
  readonly bucket: string;
  /** Undefined where `onlyNew` was asked for and the name is taken. */
  put(
    name: string,
    content: Uint8Array | AsyncIterable<Uint8Array>,
    options?: UploadOptions,
  ): Promise<StoredObject | undefined>;
  stat(name: string): Promise<StoredObject | undefined>;
  /** The whole object, or a range, in memory, with its generation. */
  read(name: string, range?: ByteRange): Promise<{ bytes: Buffer; generation: string } | undefined>;
  /** The same as a stream, which goes on by itself where the connection breaks. */
  stream(name: string, range?: ByteRange): Promise<Readable | undefined>;
  /** In byte order of the names. */
  list(options: ListOptions): Promise<StoredObject[]>;
  /** Makes one object of others, which stay. */
  compose(name: string, sources: readonly string[], metadata: Record<string, string>): Promise<StoredObject>;
  /** Says in the metadata when the object was last used; undefined where it is absent. */
  touch(name: string, nowMs: number): Promise<StoredObject | undefined>;
  /** False where it is absent, or is not as the options say. */
  remove(name: string, options?: RemoveOptions): Promise<boolean>;
  /** Where anybody may read it for a while; undefined where nobody can sign for that. */
  downloadUrl(name: string, options: DownloadOptions): Promise<string | undefined>;
}

export interface DownloadOptions {
  readonly lifetimeMs: number;
  /** What it is called by whoever downloads it. */
  readonly fileName: string;
}

export interface StorageParams {
  readonly rest: Rest;
  readonly bucket: string;
  /** Without a slash at the end. Default: Google's. */
  readonly baseUrl?: string;
  readonly onUse?: OnUse;
  /** Looked for when a download is to be signed, and once. */
  readonly findSigner?: () => Promise<UrlSigner | undefined>;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

const PAGE = 1000;
const FIELDS = "name,size,generation,metageneration,updated,metadata";
/** Key of the metadata that `touch` writes: what changes nothing may leave `updated` as it is. */
const TOUCHED = "touchedAtMs";

export function createStorage(params: StorageParams): Storage {
  const { rest, bucket, baseUrl = "https://storage.googleapis.com", onUse, findSigner, now = Date.now } = params;
  let signer: ReturnType<NonNullable<StorageParams["findSigner"]>> | undefined;
  const objects = `${baseUrl}/storage/v1/b/${encodeURIComponent(bucket)}/o`;
  const urlOf = (name: string, query: Record<string, string> = {}): string => {
    const search = new URLSearchParams(query).toString();
    return `${objects}/${encodeURIComponent(name)}${search === "" ? "" : `?${search}`}`;
  };
  const needs = `roles/storage.objectUser on the bucket ${bucket}`;
  const count = (kind: GoogleUse["kind"], operation: string, name: string, bytes = 0): void =>
    onUse?.({ service: "storage", kind, operation, name, bytes });

  /** Undefined for 404, which must be the object's absence and not the bucket's. */
  async function ask(doing: string, request: Omit<RestRequest, "doing" | "needs">): Promise<RestAnswer | undefined> {
    const answers = [...(request.answers ?? []), 404];
    const answer = await rest.request({ ...request, answers, doing, needs });
    if (answer.status !== 404) return answer;
    checkBucket(answer.body.toString("utf8"));
    return undefined;
  }

  function checkBucket(body: string): void {
    if (!/bucket does not exist/i.test(body)) return;
    throw new AppError("state_unavailable", `There is no bucket ${bucket}.`, {
      hint: `Make it, or set BUCKET_NAME to the right one: gcloud storage buckets create gs://${bucket}`,
    });
  }

  const uploader = createUploader({ rest, bucket, baseUrl, needs, checkBucket, parse: parseObject });

  async function stat(name: string): Promise<StoredObject | undefined> {
    count("read", "get", name);
    const answer = await ask(`looking at ${name}`, { method: "GET", url: urlOf(name, { fields: FIELDS }) });
    return answer === undefined ? undefined : parseObject(answer.json());
  }

  async function openAt(name: string, range: ByteRange | undefined, generation: string | undefined) {
    const query = { alt: "media", ...(generation !== undefined && { generation }) };
    const headers = range === undefined ? {} : { range: `bytes=${range.offset}-${range.offset + range.length - 1}` };
    const doing = `reading ${name}`;
    return rest.open({ method: "GET", url: urlOf(name, query), headers, answers: [404, 416], doing, needs });
  }

  /** The bytes of an object, going on where a connection broke off as long as there is progress. */
  async function* chunks(name: string, range: ByteRange | undefined, first: Awaited<ReturnType<typeof openAt>>) {
    const generation = first.headers.get("x-goog-generation") ?? undefined;
    let answer = first;
    let offset = range?.offset ?? 0;
    const end = range === undefined ? Number.MAX_SAFE_INTEGER : range.offset + range.length;
    for (;;) {
      const from = offset;
      try {
        for await (const chunk of answer.body) {
          offset += chunk.byteLength;
          yield chunk;
        }
        return;
      } catch (error) {
        if (!(error instanceof RetryLater)) throw error;
        if (offset === from && answer !== first) throw error.cause;
      }
      answer = await openAt(name, { offset, length: end - offset }, generation);
      // Nothing is left behind what arrived before the break.
      if (answer.status === 416) return;
      if (answer.status === 404) throw new AppError("state_unavailable", `${name} went away while it was read.`);
    }
  }

  return {
    bucket,
    async put(name, content, options = {}) {
      const put = await uploader.put(name, content, options);
      count("write", "insert", name, put.sentBytes);
      if (put.kind === "stored") return put.object;
      // An answer that was lost: the object is the one that was meant to be put if it bears the mark of this put.
      const found = put.isRepeat ? await stat(name) : undefined;
      return found?.metadata["putId"] === put.putId ? found : undefined;
    },
    stat,
    async read(name, range) {
      if (range !== undefined && range.length <= 0) range = { offset: range.offset, length: 1 };
      const headers = range === undefined ? {} : { range: `bytes=${range.offset}-${range.offset + range.length - 1}` };
      const url = urlOf(name, { alt: "media" });
      const answer = await ask(`reading ${name}`, { method: "GET", url, headers, answers: [416] });
      const bytes = answer === undefined || answer.status === 416 ? Buffer.alloc(0) : answer.body;
      count("read", "get", name, bytes.length);
      return answer === undefined ? undefined : { bytes, generation: answer.headers.get("x-goog-generation") ?? "" };
    },
    async stream(name, range) {
      if (range !== undefined && range.length <= 0) {
        return (await stat(name)) === undefined ? undefined : Readable.from([]);
      }
      const answer = await openAt(name, range, undefined);
      count("read", "get", name, Number(answer.headers.get("content-length") ?? 0));
      if (answer.status === 200 || answer.status === 206) {
        return Readable.from(chunks(name, range, answer), { objectMode: false });
      }
      const parts: Uint8Array[] = [];
      for await (const part of answer.body) parts.push(part);
      if (answer.status === 416) return Readable.from([]);
      checkBucket(Buffer.concat(parts).toString("utf8"));
      return undefined;
    },
    async list({ prefix, startOffset, limit = Number.POSITIVE_INFINITY }) {
      const found: StoredObject[] = [];
      let pageToken: string | undefined;
      do {
        count("list", "list", prefix);
        const query = new URLSearchParams({
          ...{ prefix, fields: `items(${FIELDS}),nextPageToken` },
          maxResults: String(Math.min(PAGE, limit - found.length)),
          ...(startOffset !== undefined && { startOffset }),
          ...(pageToken !== undefined && { pageToken }),
        });
        const url = `${objects}?${query}`;
        const request = { method: "GET", doing: `listing ${prefix}`, needs, url, isJson: true } as const;
        const page = ((await rest.request(request)).json() ?? {}) as { items?: unknown[]; nextPageToken?: string };
        for (const item of page.items ?? []) found.push(parseObject(item));
        pageToken = page.nextPageToken;
      } while (pageToken !== undefined && found.length < limit);
      return found.length > limit ? found.slice(0, limit) : found;
    },
    async compose(name, sources, metadata) {
      const body = {
        sourceObjects: sources.map((source) => ({ name: source })),
        destination: { contentType: "application/octet-stream", metadata },
      };
      const answer = await ask(`joining objects into ${name}`, {
        method: "POST",
        url: `${objects}/${encodeURIComponent(name)}/compose`,
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      if (answer === undefined) throw new AppError("state_corrupt", `A part of ${name} is gone.`);
      const composed = parseObject(answer.json());
      count("write", "compose", name, composed.size);
      return composed;
    },
    async touch(name, nowMs) {
      count("write", "patch", name);
      const answer = await ask(`touching ${name}`, {
        method: "PATCH",
        url: urlOf(name),
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ metadata: { [TOUCHED]: String(nowMs) } }),
      });
      if (answer === undefined) return undefined;
      const touched = parseObject(answer.json());
      return { ...touched, modifiedAtMs: Math.max(touched.modifiedAtMs, nowMs) };
    },
    async remove(name, { generation, metageneration } = {}) {
      count("delete", "delete", name);
      const url = urlOf(name, {
        ...(generation && { ifGenerationMatch: generation }),
        ...(metageneration && { ifMetagenerationMatch: metageneration }),
      });
      const doing = `removing ${name}`;
      const answer = await rest.request({ method: "DELETE", url, answers: [404, 412], doing, needs });
      if (answer.status === 404) {
        checkBucket(answer.body.toString("utf8"));
        // Gone by the attempt whose answer was lost, as far as anybody can tell.
        return answer.isRepeat;
      }
      return answer.status !== 412;
    },
    async downloadUrl(name, { lifetimeMs, fileName }) {
      signer ??= findSigner?.().catch((error: unknown) => {
        // Asked again for the next download.
        signer = undefined;
        throw error;
      });
      const found = await signer;
      if (found === undefined) return undefined;
      const query = { "response-content-disposition": `attachment; filename="${fileName}"` };
      return signedUrl({ signer: found, baseUrl, bucket, name, lifetimeMs, atMs: now(), query });
    },
  };
}

function parseObject(value: unknown): StoredObject {
  const fields = (value ?? {}) as Record<string, unknown>;
  const metadata = (fields["metadata"] ?? {}) as Record<string, string>;
  if (typeof fields["name"] !== "string") throw new AppError("state_unavailable", "Cloud Storage answered no object.");
  const updated = Date.parse(String(fields["updated"]));
  return {
    name: fields["name"],
    // Zero values are left out.
    size: Number(fields["size"] ?? 0),
    generation: String(fields["generation"] ?? ""),
    metageneration: String(fields["metageneration"] ?? ""),
    modifiedAtMs: Math.max(Number.isNaN(updated) ? 0 : updated, Number(metadata[TOUCHED] ?? 0)),
    metadata,
  };
}
