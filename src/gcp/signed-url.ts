/** Addresses under which whoever has them may read one object for a while: Google's V4 signatures. */
import { createHash, createSign } from "node:crypto";

/** Who signs: a service account, by its key or by asking Google to. */
export interface UrlSigner {
  readonly email: string;
  /** RSA with SHA-256. */
  sign(text: string): Promise<Buffer>;
}

export interface SignedUrlParams {
  readonly signer: UrlSigner;
  /** Without a slash at the end. */
  readonly baseUrl: string;
  readonly bucket: string;
  readonly name: string;
  /** From `atMs` on; at most 7 days. */
  readonly lifetimeMs: number;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  /** Signed as well, such as `response-content-disposition`. */
  readonly query?: Readonly<Record<string, string>>;
}

const ALGORITHM = "GOOG4-RSA-SHA256";

/** For a GET. */
export async function signedUrl(params: SignedUrlParams): Promise<string> {
  const { signer, baseUrl, bucket, name, lifetimeMs, atMs } = params;
  const time = `${new Date(atMs).toISOString().replace(/[-:]|\.\d+/g, "")}`;
  const scope = `${time.slice(0, 8)}/auto/storage/goog4_request`;
  const query = canonicalQuery({
    ...params.query,
    "X-Goog-Algorithm": ALGORITHM,
    "X-Goog-Credential": `${signer.email}/${scope}`,
    "X-Goog-Date": time,
    "X-Goog-Expires": String(Math.round(lifetimeMs / 1000)),
    "X-Goog-SignedHeaders": "host",
  });
  const path = `/${[bucket, ...name.split("/")].map(encoded).join("/")}`;
  const { host } = new URL(baseUrl);
  const request = ["GET", path, query, `host:${host}`, "", "host", "UNSIGNED-PAYLOAD"].join("\n");
  const hash = createHash("sha256").update(request).digest("hex");
  const signature = await signer.sign([ALGORITHM, time, scope, hash].join("\n"));
  return `${baseUrl}${path}?${query}&X-Goog-Signature=${signature.toString("hex")}`;
}

/** Signs by the private key of a service account. */
export function keySigner(email: string, privateKey: string): UrlSigner {
  return { email, sign: async (text) => createSign("RSA-SHA256").update(text).sign(privateKey) };
}

function canonicalQuery(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${encoded(key)}=${encoded(value)}`)
    .sort((a, b) => (a < b ? -1 : 1))
    .join("&");
}

/** All but letters, digits and `-._~`. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
