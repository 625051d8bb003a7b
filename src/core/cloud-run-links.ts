/** Where Google's console shows an execution of a Cloud Run Job, and its log. Pure. */

export interface ExecutionLinks {
  /** `projects/P/locations/L/jobs/J/executions/E`. */
  readonly name: string;
  readonly consoleUrl: string;
  readonly logUrl: string;
}

const NAME = /^projects\/([^/]+)\/locations\/([^/]+)\/jobs\/([^/]+)\/executions\/([^/]+)$/;
const CONSOLE = "https://console.cloud.google.com";

/** Undefined where this is not the full name of an execution. */
export function executionLinks(name: string): ExecutionLinks | undefined {
  const [, project = "", location = "", job = "", execution = ""] = NAME.exec(name) ?? [];
  if (execution === "") return undefined;
  const query = [
    'resource.type="cloud_run_job"',
    `resource.labels.job_name="${job}"`,
    `resource.labels.location="${location}"`,
    `labels."run.googleapis.com/execution_name"="${execution}"`,
  ].join("\n");
  const ofProject = `?project=${encodeURIComponent(project)}`;
  return {
    name,
    consoleUrl: `${CONSOLE}/run/jobs/executions/details/${location}/${execution}/tasks${ofProject}`,
    logUrl: `${CONSOLE}/logs/query;query=${encodeURIComponent(query)}${ofProject}`,
  };
}
