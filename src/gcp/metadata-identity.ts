/** ID tokens of the service account that a container or machine of Google Cloud runs as. */
import { metadata } from "./metadata.ts";
import type { RetryPolicy } from "./retry.ts";

export interface IdentityParams {
  /** Of the process: `GCE_METADATA_HOST`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whom the token is for, such as a service's URL. */
  readonly audience: string;
  readonly fetch?: typeof fetch;
  readonly retry?: RetryPolicy;
}

/** Asks the metadata server, which keeps it until it is near its end. */
export function metadataIdToken({ env, audience, fetch: send, retry }: IdentityParams): Promise<string> {
  const query = new URLSearchParams({ audience, format: "full" });
  const path = `instance/service-accounts/default/identity?${query}`;
  return metadata(path, { env, ...(send !== undefined && { fetch: send }), ...(retry !== undefined && { retry }) });
}
