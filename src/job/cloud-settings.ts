/** What the job's program reads of its environment where it runs on Google Cloud. Pure. */

export interface CloudSettings {
  /** Known where the deployment says it; links entries of the log with a trace. */
  readonly projectId: string | undefined;
  /** Whether what happens is printed as lines of JSON, of which Google Cloud makes entries of its log. */
  readonly logsJson: boolean;
  /** Whether dbt's debug events are among them. */
  readonly logsDebug: boolean;
  /** Whether folders are new for each run, so that packages and parse state are kept in State. */
  readonly isFresh: boolean;
  /** The secret that holds the server's own profiles.yml. */
  readonly profilesSecret: string | undefined;
  /** Secrets by the name of the variable that dbt sees them as. */
  readonly secretEnv: Readonly<Record<string, string>>;
}

/** Cloud Run says `CLOUD_RUN_JOB` to every execution; `DBT_JOB_…` says otherwise, on any machine. */
export function parseCloudSettings(env: Readonly<Record<string, string | undefined>>): CloudSettings {
  const isCloudRun = present(env["CLOUD_RUN_JOB"]) !== undefined;
  const format = present(env["DBT_JOB_LOG_FORMAT"]);
  const logsJson = format === undefined ? isCloudRun : format === "json";
  return {
    projectId: present(env["PROJECT_ID"]) ?? present(env["GOOGLE_CLOUD_PROJECT"]),
    logsJson,
    logsDebug: logsJson && isOn(env["DBT_JOB_LOG_DEBUG"]),
    isFresh: present(env["DBT_JOB_FRESH"]) === undefined ? isCloudRun : isOn(env["DBT_JOB_FRESH"]),
    profilesSecret: present(env["DBT_SERVER_PROFILES_SECRET"]),
    secretEnv: pairs(env["DBT_SERVER_SECRET_ENV"] ?? ""),
  };
}

/** `NAME=SECRET,…`, as the server has checked it. */
function pairs(text: string): Record<string, string> {
  const found = text.split(",").map((each) => /^\s*([^=\s]+)=(\S+)\s*$/.exec(each));
  return Object.fromEntries(found.flatMap((match) => (match === null ? [] : [[match[1], match[2]]])));
}

const present = (value: string | undefined): string | undefined => (value === "" ? undefined : value);

/** As people write it. */
function isOn(value: string | undefined): boolean {
  return /^(?:1|true|yes|on)$/i.test(value ?? "");
}
