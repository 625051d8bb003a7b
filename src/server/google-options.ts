/** The options of dbt-server that are about Google Cloud, and what has to go together. */
import { durationMs, flag, oneOf, text, url } from "../config/option-kinds.ts";
import { type OptionValues, option } from "../config/options.ts";
import { AppError } from "../core/errors.ts";
import { type JobProfile, jobProfiles } from "./job-profiles.ts";

export const GOOGLE_OPTIONS = {
  projectId: option(text("PROJECT", "my-project"), {
    flag: "--project-id",
    env: "PROJECT_ID",
    help: "gcp, cloud-run: the Google Cloud project.",
  }),
  location: option(text("REGION", "europe-west1"), {
    flag: "--location",
    env: "LOCATION",
    help: "cloud-run: the region of the Jobs.",
  }),
  bucketName: option(text("BUCKET", "my-project-dbt-remote"), {
    flag: "--bucket-name",
    env: "BUCKET_NAME",
    help: "gcp: the bucket of logs, artifacts and files.",
  }),
  firestoreDatabase: option(text("NAME", "dbt-remote"), {
    flag: "--firestore-database",
    env: "FIRESTORE_DATABASE",
    default: "(default)",
    help: "gcp: the Firestore database of the records.",
  }),
  kmsKey: option(text("KEY", "projects/P/locations/L/keyRings/R/cryptoKeys/K"), {
    flag: "--kms-key",
    env: "DBT_SERVER_KMS_KEY",
    defaultText: "Google's own",
    help: "gcp: a key of Cloud KMS that profiles and secrets are encrypted with.",
  }),
  jobProfiles: option(jobProfiles(), {
    flag: "--job-profile",
    env: "DBT_SERVER_JOB_PROFILES",
    default: [{ name: "default", job: "dbt-remote" }],
    defaultText: "default=dbt-remote",
    help: "cloud-run: a name that runs can ask for, and its Job; the first is for runs that ask for none. --manage-job also takes cpu, memory, timeout, service-account.",
  }),
  manageJob: option(flag(), {
    flag: "--manage-job",
    env: "DBT_SERVER_MANAGE_JOB",
    default: false,
    help: "cloud-run: make and update the Jobs at the start; without it they come from the deployment.",
  }),
  dockerImage: option(text("IMAGE", "europe-west1-docker.pkg.dev/my-project/dbt/dbt-remote"), {
    flag: "--docker-image",
    env: "DOCKER_IMAGE",
    help: "--manage-job: the image of the Jobs.",
  }),
  serviceAccount: option(text("EMAIL", "dbt-job@my-project.iam.gserviceaccount.com"), {
    flag: "--service-account",
    env: "SERVICE_ACCOUNT",
    defaultText: "the project's default one",
    help: "--manage-job: the account that the Jobs run as.",
  }),
  taskTimeoutMs: option(durationMs({ minMs: 60_000 }), {
    flag: "--task-timeout",
    env: "DBT_SERVER_TASK_TIMEOUT",
    default: 6 * 60 * 60_000,
    defaultText: "6h",
    help: "--manage-job: after this long Google ends a job; dbt is stopped a minute before.",
  }),
  serviceUrl: option(url(), {
    flag: "--service-url",
    env: "DBT_SERVER_SERVICE_URL",
    help: "--manage-job: where jobs reach this server, to wake it for the next run when they end.",
  }),
  executorReads: option(oneOf(["job", "local"], "KIND"), {
    flag: "--executor-reads",
    env: "DBT_SERVER_EXECUTOR_READS",
    default: "job",
    help: "cloud-run: where commands run that only read (ls, parse, compile, show, docs generate). local: in the server's own container.",
  }),
} as const;

/** What a server needs to know of Google Cloud. */
export interface GoogleSettings {
  readonly projectId: string;
  readonly bucket: string;
  readonly database: string;
  readonly kmsKeyName: string | undefined;
  /** Set where Jobs are launched. */
  readonly jobs: JobsSettings | undefined;
}

export interface JobsSettings {
  readonly location: string;
  /** The first is for runs that name none. */
  readonly profiles: readonly JobProfile[];
  readonly readsLocally: boolean;
  /** Set where the server makes and updates the Jobs itself. */
  readonly manage: ManageSettings | undefined;
}

export interface ManageSettings {
  readonly image: string;
  readonly serviceAccount: string | undefined;
  readonly taskTimeoutMs: number;
  readonly serviceUrl: string | undefined;
}

type Values = OptionValues<typeof GOOGLE_OPTIONS>;
type Kinds = { readonly state: "local" | "gcp"; readonly executor: "local" | "cloud-run" };

/** Undefined where nothing of Google Cloud is used. Throws `bad_argument` for what can't be together. */
export function googleSettings({ state, executor }: Kinds, values: Values): GoogleSettings | undefined {
  if (executor === "cloud-run" && state === "local") {
    throw new AppError("bad_argument", "--executor cloud-run needs --state gcp: its jobs can't reach this machine.", {
      hint: "Add --state gcp with PROJECT_ID and BUCKET_NAME, or use --executor local",
    });
  }
  if (state === "local") return undefined;
  return {
    projectId: needed("--state gcp", "PROJECT_ID", values.projectId),
    bucket: needed("--state gcp", "BUCKET_NAME", values.bucketName),
    database: values.firestoreDatabase,
    kmsKeyName: values.kmsKey,
    jobs: executor === "cloud-run" ? jobsSettings(values) : undefined,
  };
}

function jobsSettings(values: Values): JobsSettings {
  return {
    location: needed("--executor cloud-run", "LOCATION", values.location),
    profiles: values.jobProfiles,
    readsLocally: values.executorReads === "local",
    manage: values.manageJob
      ? {
          image: needed("--manage-job", "DOCKER_IMAGE", values.dockerImage),
          serviceAccount: values.serviceAccount,
          taskTimeoutMs: values.taskTimeoutMs,
          serviceUrl: values.serviceUrl,
        }
      : undefined,
  };
}

function needed(by: string, name: keyof typeof EXAMPLES, value: string | undefined): string {
  if (value !== undefined) return value;
  throw new AppError("bad_argument", `${by} needs ${name}, which is not set.`, {
    hint: `For example: export ${name}=${EXAMPLES[name]}`,
  });
}

const EXAMPLES = {
  PROJECT_ID: "my-project",
  BUCKET_NAME: "my-project-dbt-remote",
  LOCATION: "europe-west1",
  DOCKER_IMAGE: GOOGLE_OPTIONS.dockerImage.kind.example,
} as const;
