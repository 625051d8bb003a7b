/** Every option of dbt-server in one table: parser, `--help` and docs are made from it. */
import { isAbsolute, join } from "node:path";
import { durationMs, flag, integer, list, oneOf, text } from "../config/option-kinds.ts";
import { type OptionSpec, type OptionValues, option, parseOptions, splitFlags } from "../config/options.ts";
import { AppError } from "../core/errors.ts";
import { AUTH_OPTIONS, type AuthSettings, authSettings } from "./auth-options.ts";
import { CLOUD_OPTIONS } from "./cloud-options.ts";
import { GOOGLE_OPTIONS, type GoogleSettings, googleSettings } from "./google-options.ts";

/** A star at the end stands for any ending. */
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*\*?$/;

export const SERVER_OPTIONS = {
  host: option(text("HOST", "127.0.0.1"), {
    flag: "--host",
    env: "HOST",
    default: "127.0.0.1",
    help: "Address to listen on.",
  }),
  port: option(integer({ min: 0, max: 65_535 }, "PORT"), {
    flag: "--port",
    env: "PORT",
    default: 8001,
    help: "Port to listen on; 0 takes any free one.",
  }),
  state: option(oneOf(["local", "gcp"], "KIND"), {
    flag: "--state",
    env: "DBT_SERVER_STATE",
    default: "local",
    help: "Where runs, logs and artifacts are kept. local: SQLite and files in the data folder; gcp: Firestore and Cloud Storage.",
  }),
  executor: option(oneOf(["local", "cloud-run"], "KIND"), {
    flag: "--executor",
    env: "DBT_SERVER_EXECUTOR",
    default: "local",
    help: "How jobs are launched. local: as processes of this machine; cloud-run: as executions of Cloud Run Jobs.",
  }),
  dataDir: option(text("DIR", "/var/lib/dbt-remote"), {
    flag: "--data-dir",
    env: "DBT_SERVER_DATA_DIR",
    defaultText: "$XDG_DATA_HOME/dbt-remote, else ~/.local/share/dbt-remote",
    help: "Folder of the local state and of the workspaces.",
  }),
  python: option(text("PATH", ".venv/bin/python"), {
    flag: "--python",
    env: "DBT_SERVER_PYTHON",
    defaultText: "the first that can import dbt of $VIRTUAL_ENV, ./.venv and python3",
    help: "The Python that has dbt.",
  }),
  profilesDir: option(text("DIR", "~/.dbt"), {
    flag: "--profiles-dir",
    env: "DBT_SERVER_PROFILES_DIR",
    defaultText: "none: profiles come from clients",
    help: "Folder of a profiles.yml that every run uses; clients then need none.",
  }),
  jobEnv: option(list("NAME", ENV_NAME, "a list of names of environment variables"), {
    flag: "--job-env",
    env: "DBT_SERVER_JOB_ENV",
    default: [],
    defaultText: "none",
    help: "Names of the server's own environment variables that dbt may see, beside the allow-list.",
  }),
  ...AUTH_OPTIONS,
  maxRuns: option(integer({ min: 1, max: 1000 }), {
    flag: "--max-runs",
    env: "DBT_SERVER_MAX_RUNS",
    defaultText: "the number of cores, at least 2; with cloud-run 100",
    help: "How many runs may go on at once; the others wait.",
  }),
  runTimeoutMs: option(durationMs({ minMs: 1000 }), {
    flag: "--run-timeout",
    env: "DBT_SERVER_RUN_TIMEOUT",
    defaultText: "none",
    help: "dbt is stopped when a run has taken this long; a client may ask for less.",
  }),
  streamTimeoutMs: option(durationMs({ minMs: 100 }), {
    flag: "--stream-timeout",
    env: "DBT_SERVER_STREAM_TIMEOUT",
    default: 50 * 60_000,
    defaultText: "50m",
    help: "A log's stream is ended after this long, for the client to resume.",
  }),
  retentionDays: option(integer({ min: 1, max: 36_500 }, "DAYS"), {
    flag: "--retention-days",
    env: "DBT_SERVER_RETENTION_DAYS",
    default: 30,
    help: "Runs are kept this many days after they ended.",
  }),
  warm: option(oneOf(["on", "off"], "SWITCH"), {
    flag: "--warm",
    env: "DBT_SERVER_WARM",
    default: "on",
    help: "Whether a process that has loaded dbt is kept at hand, so that runs start at once.",
  }),
  warmProjects: option(integer({ min: 0, max: 1000 }), {
    flag: "--warm-projects",
    env: "DBT_SERVER_WARM_PROJECTS",
    default: 4,
    help: "For how many projects it keeps the parsed manifest in memory; one that was not used for a minute makes room for another.",
  }),
  warmMemoryMb: option(integer({ min: 100, max: 1_000_000 }, "MB"), {
    flag: "--warm-memory",
    env: "DBT_SERVER_WARM_MEMORY",
    default: 1024,
    help: "What it may take with these manifests; beyond it, those not used for longest go.",
  }),
  warmIdleMs: option(durationMs({ minMs: 1000 }), {
    flag: "--warm-idle",
    env: "DBT_SERVER_WARM_IDLE",
    default: 60 * 60_000,
    defaultText: "1h",
    help: "It ends when there was no run for this long; the next run starts another.",
  }),
  ...GOOGLE_OPTIONS,
  ...CLOUD_OPTIONS,
  debug: option(flag(), {
    flag: "--debug",
    env: "DBT_SERVER_DEBUG",
    default: false,
    help: "Say on stderr, and in each job's own output, how runs are started.",
  }),
  dryRun: option(flag(), {
    flag: "--dry-run",
    default: false,
    help: "With gc: say what would be removed, and remove nothing.",
  }),
  help: option(flag(), { flag: "--help", aliases: ["-h"], default: false, help: "Show this text." }),
  version: option(flag(), { flag: "--version", default: false, help: "Show the version." }),
} as const;

/** The settings of a server, complete and checked. Paths are absolute. */
export interface ServerSettings
  extends Pick<
      OptionValues<typeof SERVER_OPTIONS>,
      | "host"
      | "port"
      | "state"
      | "executor"
      | "python"
      | "profilesDir"
      | "jobEnv"
      | "warmProjects"
      | "warmIdleMs"
      | "profilesSecret"
      | "secretEnv"
      | "signedDownloads"
      | "debug"
    >,
    AuthSettings {
  readonly dataDir: string;
  readonly maxRuns: number;
  readonly runTimeoutMs: number | null;
  readonly streamTimeoutMs: number;
  readonly retentionMs: number;
  readonly warm: boolean;
  readonly warmMemoryBytes: number;
  readonly logFormat: "text" | "json";
  /** Set where State is on Google Cloud. */
  readonly google: GoogleSettings | undefined;
}

export type ServerCommand =
  | { readonly kind: "serve"; readonly settings: ServerSettings }
  | { readonly kind: "gc"; readonly dryRun: boolean; readonly settings: ServerSettings }
  | { readonly kind: "help" }
  | { readonly kind: "version" };

/** What the settings depend on beside argv and environment. */
export interface Surroundings {
  readonly cwd: string;
  readonly home: string;
  readonly cores: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** Jobs on Cloud Run take nothing of the server's machine; Google allows a region 1000 of them. */
const MAX_RUNS_ON_CLOUD_RUN = 100;

/** What was typed after `dbt-server`. Pure; throws `bad_argument` with the next step. */
export function parseServerCommand(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  around: Surroundings,
): ServerCommand {
  const { flags, rest } = splitFlags(SERVER_OPTIONS, argv);
  if (flags["help"] !== undefined) return { kind: "help" };
  if (flags["version"] !== undefined) return { kind: "version" };
  const [word, ...more] = rest;
  const unknown = more[0] ?? (word === undefined || word === "gc" ? undefined : word);
  if (unknown !== undefined) {
    throw new AppError("bad_argument", `dbt-server does not know "${unknown}".`, { hint: "See: dbt-server --help" });
  }
  const { values } = parseOptions(SERVER_OPTIONS, { flags, env });
  const settings = settingsOf(values, env, around);
  return word === "gc" ? { kind: "gc", dryRun: values.dryRun, settings } : { kind: "serve", settings };
}

function settingsOf(
  values: OptionValues<typeof SERVER_OPTIONS>,
  env: Readonly<Record<string, string | undefined>>,
  around: Surroundings,
): ServerSettings {
  const absolute = (path: string): string => {
    if (path === "~" || path.startsWith("~/")) return join(around.home, path.slice(1));
    return isAbsolute(path) ? path : join(around.cwd, path);
  };
  const xdgData = env["XDG_DATA_HOME"];
  const dataHome = xdgData !== undefined && isAbsolute(xdgData) ? xdgData : join(around.home, ".local", "share");
  return {
    host: values.host,
    port: values.port,
    state: values.state,
    executor: values.executor,
    dataDir: absolute(values.dataDir ?? join(dataHome, "dbt-remote")),
    // A bare name is looked up in PATH.
    python: values.python?.includes("/") === true ? absolute(values.python) : values.python,
    profilesDir: values.profilesDir === undefined ? undefined : absolute(values.profilesDir),
    jobEnv: values.jobEnv,
    ...authSettings(values, values.host, env),
    maxRuns: values.maxRuns ?? (values.executor === "cloud-run" ? MAX_RUNS_ON_CLOUD_RUN : Math.max(2, around.cores)),
    runTimeoutMs: values.runTimeoutMs ?? null,
    streamTimeoutMs: values.streamTimeoutMs,
    retentionMs: values.retentionDays * DAY_MS,
    warm: values.warm === "on",
    warmProjects: values.warmProjects,
    warmMemoryBytes: values.warmMemoryMb * 1024 * 1024,
    warmIdleMs: values.warmIdleMs,
    google: googleSettings(values, values),
    profilesSecret: values.profilesSecret,
    secretEnv: values.secretEnv,
    signedDownloads: values.signedDownloads,
    logFormat: values.logFormat ?? (env["K_SERVICE"] ? "json" : "text"),
    debug: values.debug,
  };
}

/** The text of `--help`. */
export function serverHelp(): string {
  const rows = Object.values<OptionSpec<unknown>>(SERVER_OPTIONS).map((spec) => {
    const names = [spec.flag, ...(spec.aliases ?? [])].filter((each) => each !== undefined).join(", ");
    const left = `${names === "" ? (spec.env ?? "") : names} ${spec.kind.placeholder}`.trim();
    const fallback = spec.defaultText ?? (spec.kind.isSwitch ? undefined : spec.default?.toString());
    const facts = [
      ...(spec.env === undefined || names === "" ? [] : [spec.env]),
      ...(fallback === undefined ? [] : [`default: ${fallback}`]),
    ];
    return `  ${left.padEnd(26)} ${spec.help}${facts.length === 0 ? "" : ` [${facts.join("; ")}]`}`;
  });
  return [
    "Usage: dbt-server [OPTIONS]",
    "       dbt-server gc [--dry-run] [OPTIONS]",
    "",
    "Accepts dbt commands from dbt-remote and runs them, here or as jobs on Google Cloud.",
    "gc removes runs that are older than --retention-days, and what nothing refers to any more.",
    "",
    "Options, with their environment variables:",
    ...rows,
    "",
  ].join("\n");
}
