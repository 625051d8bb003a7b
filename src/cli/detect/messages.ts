/** What is said where no server was found on Google Cloud. Pure. */
import { AppError } from "../../core/errors.ts";
import { SERVER_LABEL } from "../../core/google-labels.ts";
import type { Candidate } from "./candidates.ts";
import type { CloudPlace } from "./known-servers.ts";
import type { Probed } from "./probe.ts";

const NOT_HERE = "No dbt-server was found on this machine";
const NAME_IT = "Name a server: --server-url URL, DBT_SERVER_URL=URL, or dbt-remote config set server_url URL";

/** What follows the first line of a hint. */
const lines = (...all: readonly string[]): string => all.join("\n  ");

/** The server needs what Windows lacks; its clients don't. */
function startOne(platform: NodeJS.Platform): string {
  return platform === "win32"
    ? "dbt-server runs on macOS and Linux: start one there, or on Google Cloud"
    : "Start one in another terminal: dbt-server --python .venv/bin/python";
}

/** Nothing says which project, or nothing gives a way in. */
export function notConfigured(platform: NodeJS.Platform, hasGcloud: boolean, projectId: string | undefined): AppError {
  const why =
    projectId !== undefined
      ? `no credentials were found for the Google Cloud project ${projectId}`
      : hasGcloud
        ? "gcloud has no project to look in"
        : "gcloud is not installed, which would say where on Google Cloud to look";
  return new AppError("server_not_found", `${NOT_HERE}, none was named, and ${why}.`, {
    hint: lines(
      startOne(platform),
      NAME_IT,
      hasGcloud
        ? "Look on Google Cloud: gcloud auth login, then gcloud config set project ID"
        : "Look on Google Cloud: install gcloud, then gcloud auth login and gcloud config set project ID",
      "Look there without gcloud: --project-id ID (or PROJECT_ID), and GOOGLE_APPLICATION_CREDENTIALS",
    ),
  });
}

export function tooSlow(projectId: string): AppError {
  return new AppError(
    "server_not_found",
    `${NOT_HERE}, and Google did not list the services of ${projectId} in time.`,
    {
      hint: lines("Try again.", NAME_IT),
    },
  );
}

/** Google's own refusal, with the role that is missing; other errors as they are. */
export function listedBefore(error: unknown, { projectId }: CloudPlace): unknown {
  if (!(error instanceof AppError)) return error;
  const { message, code } = error;
  if (code === "server_not_found") return error;
  const problem = `${NOT_HERE}, and the Cloud Run services of ${projectId} can't be listed: ${message}`;
  const cure =
    code === "forbidden"
      ? `Whoever you are to Google needs roles/run.viewer on ${projectId} (it holds run.services.list)`
      : "Check the project's id, and: gcloud auth login";
  return new AppError("server_not_found", problem, { hint: lines(cure, NAME_IT) });
}

export function severalFound(servers: readonly Candidate[]): AppError {
  const list = servers.map(({ name, region, url }) => `--server-url ${url}   (${name}, ${region})`);
  return new AppError("server_not_found", `Several services are a dbt-server: choose one.`, { hint: lines(...list) });
}

const LABEL = `${SERVER_LABEL.name}=${SERVER_LABEL.value}`;

export function noneFound({ projectId, location }: CloudPlace, probed: readonly Probed[]): AppError {
  const where = location === undefined ? projectId : `${projectId} in ${location}`;
  const names = (all: readonly Probed[]) => all.map(({ candidate }) => candidate.name).join(", ");
  const [first] = probed;
  if (first === undefined) {
    return new AppError("server_not_found", `${NOT_HERE}, and ${where} has no Cloud Run services.`, {
      hint: lines(NAME_IT, "Look elsewhere: --project-id ID, --location REGION"),
    });
  }
  const shown = probed.filter(({ answer, wasShown }) => answer === "refused" && wasShown);
  const refused = probed.filter(
    ({ answer, wasShown, candidate }) =>
      answer === "refused" && !wasShown && !shown.some((each) => each.candidate === candidate),
  );
  const unshown = refused.filter(({ candidate }) => candidate.isLabelled);
  const unlabelled = refused.filter(({ candidate }) => !candidate.isLabelled);
  const silent = probed.filter(({ answer, candidate }) => answer === "silent" && candidate.isLabelled);
  const facts = [
    ...(shown.length > 0 ? [`${names(shown)} did not let you in: you need roles/run.invoker on the service`] : []),
    ...(silent.length > 0 ? [`${names(silent)} did not answer in time and may be starting: try again`] : []),
    ...(unshown.length > 0
      ? [`${names(unshown)} wants to know who you are, and this machine has no ID token: gcloud auth login`]
      : []),
    ...(unlabelled.length > 0
      ? [
          `${unlabelled.length === 1 ? names(unlabelled) : `${unlabelled.length} services`} did not say: without the label ${LABEL}, who you are is not shown. If one is a dbt-server: gcloud run services update SERVICE --update-labels ${LABEL}, or --trust-server`,
        ]
      : []),
  ];
  const count = new Set(probed.map(({ candidate }) => candidate)).size;
  return new AppError(
    "server_not_found",
    `${NOT_HERE}, and none of the ${count} Cloud Run services of ${where} was seen to be one.`,
    {
      hint: lines(...facts, NAME_IT, "Look elsewhere: --project-id ID, --location REGION"),
    },
  );
}
