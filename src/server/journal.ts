/** What the server says about itself: its start on stdout, everything else on stderr. On Google Cloud as JSON on stdout. */
import { AppError } from "../core/errors.ts";
import { jsonWriter } from "./cloud-journal.ts";
import type { ServerSettings } from "./options.ts";

export interface Journal {
  greet(params: { readonly version: string; readonly url: string; readonly settings: ServerSettings }): void;
  say(line: string): void;
  /** A failure that nobody else will report. The same one again and again is said once a minute. */
  failure(error: unknown, requestId?: string): void;
  /** What was asked of a run. Clients tell their users: of no interest but where a run's entries are looked for. */
  run(what: string, runId: string, requestId: string): void;
}

/** Where what is said goes. */
export interface JournalWriter {
  greet(text: string): void;
  say(text: string): void;
  failure(text: string, requestId: string | undefined): void;
  run(text: string, runId: string, requestId: string): void;
}

export interface JournalParams {
  readonly format: ServerSettings["logFormat"];
  /** Of the environment: `PROJECT_ID`, `GOOGLE_CLOUD_PROJECT`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Values that are never said. */
  readonly secrets: readonly string[];
}

const WHO: Readonly<Record<ServerSettings["auth"], string>> = {
  local: "your user on this machine",
  none: "EVERYONE on this machine, without a token (--auth none)",
  token: "whoever has the token",
  oidc: "whom the issuer of ID tokens knows and DBT_SERVER_ALLOWED_EMAILS lets in (--auth oidc)",
  "cloud-run-iam": "whom Cloud Run lets in (--auth cloud-run-iam)",
};

const REPEAT_MS = 60_000;
const REMEMBERED = 100;

export function createJournal({ format, env, secrets }: JournalParams): Journal {
  const writer = format === "json" ? jsonWriter({ env, secrets }) : TEXT_WRITER;
  const said = new Map<string, number>();

  const isRepeated = (text: string): boolean => {
    const last = said.get(text);
    if (last !== undefined && Date.now() - last < REPEAT_MS) return true;
    if (said.size >= REMEMBERED) said.clear();
    said.set(text, Date.now());
    return false;
  };

  return {
    greet({ version, url, settings }) {
      const lines = [
        `dbt-server ${version} on ${url}`,
        `May use it: ${WHO[settings.auth]}.`,
        "Trust: a project's code can read what this account can; whoever may use the server may read and cancel every run.",
        placesOf(settings),
      ];
      writer.greet(lines.join("\n"));
    },
    say: (line) => writer.say(line),
    failure(error, requestId) {
      const expected = error instanceof AppError;
      const text = expected ? lines(error) : error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (!isRepeated(text)) writer.failure(text, requestId);
    },
    run: writer.run,
  };
}

const TEXT_WRITER: JournalWriter = {
  greet: (text) => void process.stdout.write(`${text}\n`),
  say: (text) => void process.stderr.write(`${text}\n`),
  failure(text, requestId) {
    process.stderr.write(`dbt-server: ${requestId === undefined ? "" : `request ${requestId}: `}${text}\n`);
  },
  run: () => undefined,
};

function placesOf({ google, dataDir, executor }: ServerSettings): string {
  if (google === undefined) return `Data: ${dataDir}`;
  const { projectId, database, bucket, jobs } = google;
  const where = jobs === undefined ? executor : `${executor} in ${jobs.location}`;
  return `State: Firestore ${database} of ${projectId} and gs://${bucket}; jobs: ${where}`;
}

function lines({ message, hint }: AppError): string {
  return hint === undefined ? message : `${message}\n${hint}`;
}
