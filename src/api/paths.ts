/** Paths of the API, in one place for server and client. */
export const API = "/api/v1";

const run = (ref: string) => `${API}/runs/${encodeURIComponent(ref)}`;

export const paths = {
  check: "/check",
  docs: "/docs",
  /** GET: proof that this is the local server whose token the caller knows; see `ServerProof`. */
  proof: `${API}/proof`,
  /** GET: versions, engine and limits of the server. */
  server: `${API}/server`,
  /** GET: what the server has in memory and under way. */
  metrics: `${API}/metrics`,
  /** PUT `/snapshots/:id` with a `SnapshotRequest`. */
  snapshot: (id: string) => `${API}/snapshots/${id}`,
  /** POST: one pack of contents, each entry named by its SHA-256. */
  packs: `${API}/packs`,
  /** PATCH: a part of one large content, with `Content-Range: bytes a-b/total`. GET: `UploadAnswer`. */
  content: (sha256: string) => `${API}/contents/${sha256}`,
  /** POST without a body: `ReconcileAnswer`, when the server has looked after every run that has not ended. */
  reconcile: `${API}/reconcile`,
  /** POST a `RunRequest`; GET a `RunList`. */
  runs: `${API}/runs`,
  run,
  log: (ref: string) => `${run(ref)}/log`,
  events: (ref: string) => `${run(ref)}/events`,
  cancel: (ref: string) => `${run(ref)}/cancel`,
  artifacts: (ref: string) => `${run(ref)}/artifacts`,
  artifact: (ref: string, path: string) => `${run(ref)}/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`,
  /** GET: everything that dbt made or changed, as a tar.gz; there as soon as dbt has ended. */
  artifactPack: (ref: string) => `${run(ref)}/artifacts.tar.gz`,
} as const;

/** Header names of our own. */
export const headers = {
  idempotencyKey: "idempotency-key",
  /** A random id kept in the user's config folder; with the token's id it tells users of one token apart. */
  client: "x-dbt-remote-client",
  /** What people read as the requester where the token says no name, such as `ada@laptop`. */
  user: "x-dbt-remote-user",
} as const;
