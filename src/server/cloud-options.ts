/** The options of dbt-server that use other services of Google Cloud than State and Jobs do. */
import { flag, list, oneOf, text } from "../config/option-kinds.ts";
import { type OptionValues, option } from "../config/options.ts";

/** `NAME=SECRET` or `NAME=projects/P/secrets/SECRET[/versions/V]`. */
const SECRET_ENV = /^[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_/.-]+$/;

export const CLOUD_OPTIONS = {
  profilesSecret: option(text("SECRET", "projects/my-project/secrets/dbt-profiles"), {
    flag: "--profiles-secret",
    env: "DBT_SERVER_PROFILES_SECRET",
    defaultText: "none",
    help: "A secret of Secret Manager that holds the profiles.yml of every run, in place of --profiles-dir.",
  }),
  secretEnv: option(list("NAME=SECRET", SECRET_ENV, "a list of NAME=SECRET"), {
    flag: "--secret-env",
    env: "DBT_SERVER_SECRET_ENV",
    default: [],
    defaultText: "none",
    help: "Environment variables of dbt whose values each job reads from Secret Manager.",
  }),
  signedDownloads: option(flag(), {
    flag: "--signed-downloads",
    env: "DBT_SERVER_SIGNED_DOWNLOADS",
    default: false,
    help: "gcp: send clients to a signed address of Cloud Storage for what is larger than 8 MB, instead of passing it on.",
  }),
  logFormat: option(oneOf(["text", "json"], "FORMAT"), {
    flag: "--log-format",
    env: "DBT_SERVER_LOG_FORMAT",
    defaultText: "json on Cloud Run, else text",
    help: "How the server tells what happens. json: a line each on stdout, as Google Cloud's log takes them.",
  }),
} as const;

/** What jobs are told of them; where they read it, they read the secrets themselves. */
export function secretsOfJobs({
  profilesSecret,
  secretEnv,
}: Pick<OptionValues<typeof CLOUD_OPTIONS>, "profilesSecret" | "secretEnv">): Record<string, string> {
  return {
    ...(profilesSecret !== undefined && { DBT_SERVER_PROFILES_SECRET: profilesSecret }),
    ...(secretEnv.length > 0 && { DBT_SERVER_SECRET_ENV: secretEnv.join(",") }),
  };
}

/** With what a job of this machine reaches Secret Manager: the server's own credentials. Nothing where it reads no secret. */
export function secretAccess(
  settings: Parameters<typeof secretsOfJobs>[0],
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  if (Object.keys(secretsOfJobs(settings)).length === 0) return {};
  return Object.fromEntries(
    ACCESS.flatMap((name) => {
      const value = env[name];
      return value === undefined || value === "" ? [] : [[name, value]];
    }),
  );
}

const ACCESS = [
  ...["PROJECT_ID", "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "GCE_METADATA_HOST"],
  "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER",
];
