/** State on Google Cloud, which any number of servers share, and jobs on Cloud Run, in this server's container, or both. */
import { existsSync } from "node:fs";
import { createExecutorByAccess } from "../executors/by-access.ts";
import { type CloudRunClient, createCloudRunExecutor, unknownProfile } from "../executors/cloud-run.ts";
import { ensureJob, mountPaths } from "../executors/cloud-run-jobs.ts";
import { jobOutputPath } from "../executors/local.ts";
import { snapshotId } from "../snapshot/entry.ts";
import { type GcpStateParams, openGcpState } from "../state/gcp/open.ts";
import { createStores } from "../state/stores.ts";
import { takeTurn } from "../state/turns.ts";
import type { Backend, BackendParams } from "./backend.ts";
import { secretsOfJobs } from "./cloud-options.ts";
import type { GoogleSettings, JobsSettings } from "./google-options.ts";
import { createLocalJobs } from "./local-jobs.ts";
import type { OwnService } from "./own-service.ts";
import { CLOUD_PATIENCE } from "./reaper.ts";
import { refuseFilesOfElsewhere } from "./requests/container-files.ts";
import { clearRoot, warehousePath } from "./workspaces.ts";

/** Google's clients, which only a program's main.ts connects. */
export interface GoogleConnections {
  state(params: ConnectParams & StatePlace): Promise<Pick<GcpStateParams, "firestore" | "storage">>;
  run(params: ConnectParams): Promise<CloudRunClient>;
  /** What Google says of the Cloud Run service that this server is. */
  ownService(params: ConnectParams & { readonly service: string }): Promise<OwnService>;
}

interface ConnectParams extends Pick<BackendParams, "env" | "home" | "now"> {}

type StatePlace = Pick<GoogleSettings, "projectId" | "bucket" | "database">;

/** What changed is told by listeners; this is for what they may have missed, and costs two queries each time. */
const TICK_MS = 10_000;
/** Servers come and go: one of them sweeps, once a day. */
const SWEEP_EVERY_MS = 24 * 60 * 60 * 1000;

export async function openGoogleBackend(params: BackendParams, google: GoogleSettings): Promise<Backend> {
  const { settings, now } = params;
  const { dataDir } = settings;
  const state = await openGoogleState(params, google);
  const local = createLocalJobs(params, { ...stateEnv(google), ...endpoints(params.env, LOCAL_ENDPOINTS) });
  const { jobs } = google;
  const isLocal = jobs === undefined || jobs.readsLocally;
  return {
    state,
    stores: createStores({ state, now, snapshotId }),
    isAlone: false,
    tickMs: TICK_MS,
    patience: CLOUD_PATIENCE,
    drains: isLocal,
    warm: isLocal ? local.warm : undefined,
    jobOutput: (runId) => jobOutputPath(dataDir, runId),
    clearRoot: (run, root) => clearRoot(dataDir, run, root),
    ...(jobs === undefined
      ? { executor: local.executor, warehousePath: (run) => warehousePath(dataDir, run) }
      : await onCloudRun(params, google, jobs, local.executor)),
    listening: () => undefined,
    sweepIsDue: () => takeTurn(state.records, "gc", SWEEP_EVERY_MS, now),
    close: () => state.close(),
  };
}

/** State as the settings say. */
export async function openGoogleState(
  { google: connections, env, home, now }: Pick<BackendParams, "google" | "env" | "home" | "now">,
  { projectId, bucket, database, kmsKeyName }: GoogleSettings,
): Promise<ReturnType<typeof openGcpState>> {
  const clients = await connections.state({ projectId, bucket, database, env, home, now });
  return openGcpState({ ...clients, kmsKeyName, now });
}

async function onCloudRun(
  params: BackendParams,
  google: GoogleSettings,
  jobs: JobsSettings,
  reads: Backend["executor"],
): Promise<Pick<Backend, "executor" | "warehousePath" | "checkJob" | "requiredEngine">> {
  const { env, home, now, google: connections, engine } = params;
  const client = await connections.run({ env, home, now });
  const { location, profiles, readsLocally } = jobs;
  const names = new Map(profiles.map(({ name, job }) => [name, job]));
  await manageJobs(params, google, jobs, client);
  const cloudRun = createCloudRunExecutor({ client, projectId: google.projectId, location, jobs: names, now });
  const fullName = (profile: string | null): string =>
    `projects/${google.projectId}/locations/${location}/jobs/${profile === null ? profiles[0]?.job : names.get(profile)}`;
  return {
    executor: readsLocally ? createExecutorByAccess({ reads, others: cloudRun }) : cloudRun,
    // A container's own files are nobody's.
    warehousePath: () => null,
    async checkJob(connection) {
      const { jobProfile } = connection;
      if (jobProfile !== null && !names.has(jobProfile)) throw unknownProfile(jobProfile, [...names.keys()]);
      await refuseFilesOfElsewhere(connection, {
        hasFile: existsSync,
        mounts: (profile) => mountPaths(client, fullName(profile)),
      });
    },
    // The image of the Jobs has dbt; whether this server has one as well says nothing of it.
    requiredEngine: () => engine().catch(() => ({ requireAdapter: () => undefined })),
  };
}

async function manageJobs(
  { settings, env, journal }: BackendParams,
  google: GoogleSettings,
  { location, profiles, manage }: JobsSettings,
  client: CloudRunClient,
): Promise<void> {
  if (manage === undefined) return;
  for (const { job, cpu, memory, timeoutMs, serviceAccount } of profiles) {
    const done = await ensureJob(client, {
      ...{ projectId: google.projectId, location, job, image: manage.image, cpu, memory },
      timeoutMs: timeoutMs ?? manage.taskTimeoutMs,
      serviceAccount: serviceAccount ?? manage.serviceAccount,
      env: {
        ...stateEnv(google),
        ...endpoints(env, ENDPOINTS),
        LOCATION: location,
        DBT_SERVER_JOB_ENV: settings.jobEnv.join(","),
        ...(settings.profilesDir !== undefined && { DBT_SERVER_PROFILES_DIR: settings.profilesDir }),
        ...secretsOfJobs(settings),
        ...(manage.serviceUrl !== undefined && { DBT_JOB_WAKE_URL: manage.serviceUrl }),
      },
    });
    journal.say(`The Job ${job} in ${location}: ${done}`);
  }
}

/** What leads a job to State. */
function stateEnv({ projectId, bucket, database }: GoogleSettings): Record<string, string> {
  return { DBT_SERVER_STATE: "gcp", PROJECT_ID: projectId, BUCKET_NAME: bucket, FIRESTORE_DATABASE: database };
}

/** Where Google is, for emulators; and on this machine, who the server is to Google. */
const ENDPOINTS = ["FIRESTORE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "GCE_METADATA_HOST"];
const LOCAL_ENDPOINTS = [...ENDPOINTS, "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"];

function endpoints(env: BackendParams["env"], names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = env[name];
      return value === undefined || value === "" ? [] : [[name, value]];
    }),
  );
}
