/** Values of Secret Manager, read when they are needed and kept nowhere. */
import { AppError } from "../core/errors.ts";
import { createAccessTokens } from "./auth.ts";
import { createRest } from "./rest.ts";
import type { RetryPolicy } from "./retry.ts";

export interface SecretManagerParams {
  /** Of secrets that are named by their id alone. */
  readonly projectId: string | undefined;
  /** Of the process; `CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER` leads elsewhere. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly now: () => number;
  readonly retry?: RetryPolicy;
  readonly fetch?: typeof fetch;
}

/** The text of a secret: `NAME` or `projects/P/secrets/NAME`, with `/versions/V` or else its latest version. */
export type ReadSecret = (name: string) => Promise<string>;

const GOOGLE_URL = "https://secretmanager.googleapis.com/";
const NAME = /^(?:projects\/([^/]+)\/secrets\/)?([A-Za-z0-9_-]{1,255})(?:\/versions\/([A-Za-z0-9_-]+))?$/;

export function connectSecretManager(params: SecretManagerParams): ReadSecret {
  const { projectId, env, retry, fetch: send } = params;
  const elsewhere = env["CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"] || undefined;
  const base = elsewhere ?? GOOGLE_URL;
  // A stand-in on this machine gets no token of Google's.
  const isLoopback = /^http:\/\/(?:127\.0\.0\.1|localhost)(?=[:/])/.test(base);
  const tokens = isLoopback ? {} : { tokens: createAccessTokens(params) };
  const rest = createRest({
    ...{ ...tokens, ...(retry !== undefined && { retry }), ...(send !== undefined && { fetch: send }) },
  });

  return async (name) => {
    const [, project = projectId, secret, version = "latest"] = NAME.exec(name) ?? [];
    if (secret === undefined) {
      throw new AppError("bad_argument", `${JSON.stringify(name)} is not the name of a secret.`, {
        hint: "It is NAME or projects/PROJECT/secrets/NAME, with /versions/VERSION where the latest is not meant.",
      });
    }
    if (project === undefined) {
      throw new AppError("bad_argument", `Of which project the secret ${secret} is, is not known.`, {
        hint: `Set PROJECT_ID, or name it projects/PROJECT/secrets/${secret}`,
      });
    }
    const answer = await rest.request({
      method: "GET",
      url: `${base}v1/projects/${encodeURIComponent(project)}/secrets/${secret}/versions/${version}:access`,
      answers: [404],
      doing: `reading the secret ${secret}`,
      needs: `roles/secretmanager.secretAccessor on the secret ${secret}`,
      isJson: true,
    });
    if (answer.status !== 404) {
      const { payload } = (answer.json() ?? {}) as { payload?: { data?: unknown } };
      // Google leaves out what is empty.
      if (payload !== undefined) return Buffer.from(String(payload.data ?? ""), "base64").toString("utf8");
      throw new AppError("state_unavailable", `Google answered reading the secret ${secret} without its value.`);
    }
    throw new AppError("bad_argument", `There is no secret ${secret} in ${project}, or no version ${version} of it.`, {
      hint: `See: gcloud secrets versions list ${secret} --project ${project}`,
    });
  };
}
