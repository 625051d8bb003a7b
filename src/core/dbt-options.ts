/** What the table of dbt's options is made of, and the options that every dbt command takes. Pure. */

/** What a path-valued option points at. */
export type DbtPathKind =
  | "project-dir"
  | "profiles-dir"
  | "state"
  | "defer-state"
  | "target-path"
  | "log-path"
  | "partial-parse-file"
  | "freshness-output"
  | "timing-file";

export interface DbtPath {
  readonly kind: DbtPathKind;
  /** What a relative value is relative to. */
  readonly base: "cwd" | "project";
}

export interface DbtOption {
  /** Every spelling that switches it on or gives it a value; long names first. */
  readonly names: readonly string[];
  /** Every spelling that switches it off. */
  readonly negatives: readonly string[];
  /** `multi` takes one value whatever it is, then swallows every token up to one that starts with `-`. */
  readonly arity: "flag" | "value" | "multi";
  /** Environment variables that set it, the preferred one first. */
  readonly env: readonly string[];
  readonly help: string;
  readonly path: DbtPath | null;
  /** Fixed values, for completion; dbt compares them without case. */
  readonly choices: readonly string[];
  /** Not shown in dbt's own help. */
  readonly hidden: boolean;
}

interface More {
  /** `DBT_X` is also read as `DBT_ENGINE_X`; a name that starts with `DBT_ENGINE_` stands alone. */
  readonly env?: string;
  readonly path?: DbtPath;
  readonly choices?: readonly string[];
  readonly hidden?: true;
}

function environmentNames(name: string | undefined): string[] {
  if (name === undefined) return [];
  return name.startsWith("DBT_ENGINE_") ? [name] : [name.replace("DBT_", "DBT_ENGINE_"), name];
}

function option(arity: DbtOption["arity"], names: string, negatives: readonly string[], help: string, more: More) {
  return {
    names: names.split(" "),
    negatives,
    arity,
    env: environmentNames(more.env),
    help,
    path: more.path ?? null,
    choices: more.choices ?? [],
    hidden: more.hidden ?? false,
  } satisfies DbtOption;
}

/** A boolean without a `--no-` form. */
export function flag(names: string, help: string, more: More = {}): DbtOption {
  return option("flag", names, [], help, more);
}

/** A boolean with a `--no-` form. */
export function toggle(names: string, help: string, more: More = {}): DbtOption {
  const longName = names.split(" ")[0] ?? names;
  return option("flag", names, [longName.replace("--", "--no-")], help, more);
}

/** Takes the next token as its value, whatever that starts with. */
export function value(names: string, help: string, more: More = {}): DbtOption {
  return option("value", names, [], help, more);
}

/** Takes a value and swallows those behind it. */
export function multi(names: string, help: string, more: More = {}): DbtOption {
  return option("multi", names, [], help, more);
}

const LOG_FORMATS = ["text", "debug", "json", "default"];
const LOG_LEVELS = ["debug", "info", "warn", "error", "none"];

/** Taken by every command, before or after its name. */
export const GLOBAL_OPTIONS: readonly DbtOption[] = [
  toggle("--cache-selected-only", "Fill the relation cache only for the schemas of the selected nodes.", {
    env: "DBT_CACHE_SELECTED_ONLY",
  }),
  toggle("--debug -d", "Log at debug level.", { env: "DBT_DEBUG" }),
  toggle("--defer", "Resolve what is not selected through the manifest of --state.", { env: "DBT_DEFER" }),
  value("--defer-state", "Folder of the manifest to defer to, where it is not --state.", {
    env: "DBT_DEFER_STATE",
    path: { kind: "defer-state", base: "project" },
  }),
  value("--deprecated-defer", "Carries the former variable DBT_DEFER_TO_STATE.", {
    env: "DBT_DEFER_TO_STATE",
    hidden: true,
  }),
  value("--deprecated-favor-state", "Carries the former variable DBT_FAVOR_STATE_MODE.", {
    env: "DBT_FAVOR_STATE_MODE",
    hidden: true,
  }),
  {
    ...flag("--deprecated-print", "Carries the former variable DBT_NO_PRINT.", { env: "DBT_NO_PRINT", hidden: true }),
    negatives: ["--deprecated-no-print"],
  },
  value("--deprecated-state", "Carries the former variable DBT_ARTIFACT_STATE_PATH.", {
    env: "DBT_ARTIFACT_STATE_PATH",
    path: { kind: "state", base: "cwd" },
    hidden: true,
  }),
  toggle("--enable-legacy-logger", "Use the logger of dbt before 1.4 (dbt 1.8 only).", {
    env: "DBT_ENABLE_LEGACY_LOGGER",
    hidden: true,
  }),
  toggle("--fail-fast -x", "Stop at the first failure.", { env: "DBT_FAIL_FAST" }),
  toggle("--favor-state", "Defer even for nodes that exist in the current target.", { env: "DBT_FAVOR_STATE" }),
  flag("--help -h", "Explain the command and exit."),
  toggle("--hints-enabled", "Show occasional hints on how to improve the project.", {
    env: "DBT_ENGINE_HINTS_ENABLED",
  }),
  value("--indirect-selection", "Which tests beside the selected nodes are selected too.", {
    env: "DBT_INDIRECT_SELECTION",
    choices: ["eager", "cautious", "buildable", "empty"],
  }),
  toggle("--log-cache-events", "Log what happens to the relation cache.", { env: "DBT_LOG_CACHE_EVENTS" }),
  value("--log-file-max-bytes", "Size at which dbt.log is rotated; 0 is never.", {
    env: "DBT_LOG_FILE_MAX_BYTES",
    hidden: true,
  }),
  value("--log-format", "Format of the log on console and in file.", { env: "DBT_LOG_FORMAT", choices: LOG_FORMATS }),
  value("--log-format-file", "Format of the log file alone.", { env: "DBT_LOG_FORMAT_FILE", choices: LOG_FORMATS }),
  value("--log-level", "Least severity that is logged.", { env: "DBT_LOG_LEVEL", choices: LOG_LEVELS }),
  value("--log-level-file", "Least severity in the log file alone.", {
    env: "DBT_LOG_LEVEL_FILE",
    choices: LOG_LEVELS,
  }),
  value("--log-path", "Folder of dbt.log.", { env: "DBT_LOG_PATH", path: { kind: "log-path", base: "cwd" } }),
  toggle("--macro-debugging", "Allow debug() in macros.", { env: "DBT_MACRO_DEBUGGING", hidden: true }),
  value("--maximum-seed-size-mib", "Seeds above this size are compared by path alone; 0 is no limit.", {
    env: "DBT_ENGINE_MAXIMUM_SEED_SIZE_MIB",
  }),
  toggle("--partial-parse", "Parse only what changed since the last time.", { env: "DBT_PARTIAL_PARSE" }),
  toggle("--partial-parse-file-diff", "Look for changed files when parsing partially.", {
    env: "DBT_PARTIAL_PARSE_FILE_DIFF",
    hidden: true,
  }),
  value("--partial-parse-file-path", "The parse state to start from.", {
    env: "DBT_PARTIAL_PARSE_FILE_PATH",
    path: { kind: "partial-parse-file", base: "cwd" },
    hidden: true,
  }),
  toggle("--populate-cache", "Ask the warehouse for its relations at the start.", { env: "DBT_POPULATE_CACHE" }),
  toggle("--print", "Show the output of print() in macros.", { env: "DBT_PRINT" }),
  value("--printer-width", "Width of the lines on the console.", { env: "DBT_PRINTER_WIDTH" }),
  value("--profile", "Profile to use in place of the project's own.", { env: "DBT_PROFILE" }),
  toggle("--quiet -q", "Log errors only.", { env: "DBT_QUIET" }),
  value("--record-timing-info -r", "Write a profile of dbt's own time to this file.", {
    path: { kind: "timing-file", base: "cwd" },
  }),
  toggle("--send-anonymous-usage-stats", "Let dbt Labs know how dbt is used.", {
    env: "DBT_SEND_ANONYMOUS_USAGE_STATS",
  }),
  toggle("--show-all-deprecations", "Show each occurrence of a deprecation, not only the first."),
  toggle("--single-threaded", "Run everything in one thread.", { env: "DBT_SINGLE_THREADED", hidden: true }),
  toggle("--snowflake-projects-otel", "Emit OpenTelemetry spans for nodes and hooks.", {
    env: "DBT_ENGINE_SNOWFLAKE_PROJECTS_OTEL",
  }),
  value("--state", "Folder of the artifacts to compare with and to defer to.", {
    env: "DBT_STATE",
    path: { kind: "state", base: "project" },
  }),
  toggle("--static-parser", "Use the static parser.", { env: "DBT_STATIC_PARSER" }),
  value("--target -t", "Target of the profile.", { env: "DBT_TARGET" }),
  toggle("--upload-to-artifacts-ingest-api", "Upload the artifacts to dbt Cloud.", {
    env: "DBT_UPLOAD_TO_ARTIFACTS_INGEST_API",
  }),
  toggle("--use-colors", "Colour the log.", { env: "DBT_USE_COLORS" }),
  toggle("--use-colors-file", "Colour the log file.", { env: "DBT_USE_COLORS_FILE" }),
  toggle("--use-experimental-parser", "Use experimental parsing.", { env: "DBT_USE_EXPERIMENTAL_PARSER" }),
  toggle("--use-fast-test-edges", "Order tests by a faster algorithm.", {
    env: "DBT_USE_FAST_TEST_EDGES",
    hidden: true,
  }),
  toggle("--use-v2-parser", "Parse with the parser of dbt v2.", { env: "DBT_ENGINE_USE_V2_PARSER" }),
  value("--v2-parser", "Command of the parser that --use-v2-parser uses.", {
    env: "DBT_ENGINE_V2_PARSER",
    hidden: true,
  }),
  flag("--version -V -v", "Print the versions and exit."),
  toggle("--version-check", "Hold dbt's version against the project's require-dbt-version.", {
    env: "DBT_VERSION_CHECK",
  }),
  flag("--warn-error", "Treat warnings as errors.", { env: "DBT_WARN_ERROR" }),
  value("--warn-error-options", "Which warnings are errors (YAML).", { env: "DBT_WARN_ERROR_OPTIONS" }),
  toggle("--write-json", "Write manifest.json and run_results.json.", { env: "DBT_WRITE_JSON" }),
];

/** Taken before the command's name only. */
export const ROOT_OPTIONS: readonly DbtOption[] = [
  ...GLOBAL_OPTIONS,
  toggle("--show-resource-report", "Log what resources dbt used.", { env: "DBT_SHOW_RESOURCE_REPORT", hidden: true }),
];
