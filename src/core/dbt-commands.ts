/** The one table of dbt's commands (Core 1.8 to 1.12) and the options each takes beside the global ones. Pure. */
import type { DbtOption } from "./dbt-options.ts";
import { flag, GLOBAL_OPTIONS, multi, ROOT_OPTIONS, toggle, value } from "./dbt-options.ts";

export interface DbtCommand {
  /** As typed, such as `["docs", "generate"]`; empty for dbt itself. */
  readonly words: readonly string[];
  /** The one name of the command and its aliases: `ls` is `list`, `source snapshot-freshness` is `source freshness`. */
  readonly verb: string;
  readonly help: string;
  /** Takes a further word and nothing else. */
  readonly group: boolean;
  /** Global options included. */
  readonly options: readonly DbtOption[];
  readonly argument: { readonly name: string; readonly required: boolean } | null;
}

const projectDir = value("--project-dir", "Folder of dbt_project.yml; else the nearest one upwards.", {
  env: "DBT_PROJECT_DIR",
  path: { kind: "project-dir", base: "cwd" },
});
const profilesDir = value("--profiles-dir", "Folder of profiles.yml; else the current one, else ~/.dbt.", {
  env: "DBT_PROFILES_DIR",
  path: { kind: "profiles-dir", base: "cwd" },
});
const vars = value("--vars", "Variables for the project (YAML).");
const targetPath = value("--target-path", "Folder that artifacts are written to.", {
  env: "DBT_TARGET_PATH",
  path: { kind: "target-path", base: "project" },
});
const threads = value("--threads", "Number of threads, in place of the profile's.");
const exclude = multi("--exclude", "Nodes to leave out.");
const select = multi("--select --models --model -s -m", "Nodes to include.");
const rawSelect = multi("--select -s", "Nodes to include.");
const models = multi("--models --model -m", "Models to include.");
const selector = value("--selector", "Name of a selector in selectors.yml.");
const RESOURCE_TYPES = [
  ...["metric", "semantic_model", "saved_query", "source", "analysis", "function", "model", "test"],
  ...["unit_test", "exposure", "snapshot", "seed", "default"],
];
const resourceTypes = multi("--resource-types --resource-type", "Kinds of resources to include.", {
  env: "DBT_RESOURCE_TYPES",
  choices: [...RESOURCE_TYPES, "all"],
});
const excludeResourceTypes = multi("--exclude-resource-types --exclude-resource-type", "Kinds to leave out.", {
  env: "DBT_EXCLUDE_RESOURCE_TYPES",
  choices: RESOURCE_TYPES,
});
const fullRefresh = flag("--full-refresh -f", "Rebuild incremental models from nothing.", { env: "DBT_FULL_REFRESH" });
const empty = toggle("--empty", "Read no rows from refs and sources.", { env: "DBT_EMPTY" });
const eventTimeStart = value("--event-time-start", "Start of the time that microbatch models read (inclusive).", {
  env: "DBT_EVENT_TIME_START",
});
const eventTimeEnd = value("--event-time-end", "End of the time that microbatch models read (exclusive).", {
  env: "DBT_EVENT_TIME_END",
});
const sample = value("--sample", "Read only this window of time.", { env: "DBT_SAMPLE" });
const sqlparse = value("--sqlparse", "Limits of the SQL parser (YAML).", { env: "DBT_ENGINE_SQLPARSE", hidden: true });
const storeFailures = flag("--store-failures", "Keep the failing rows of tests in the warehouse.", {
  env: "DBT_STORE_FAILURES",
});
const showRows = flag("--show", "Show some of the loaded rows.");
const textOutput = value("--output", "Output format.", { choices: ["json", "text"] });
const inline = value("--inline", "SQL to use in place of a selection.");
const introspect = toggle("--introspect", "Let compilation query the warehouse.", { env: "DBT_INTROSPECT" });

const PROJECT = [projectDir, profilesDir, vars];
const SELECTION = [select, exclude, selector];
const KINDS = [resourceTypes, excludeResourceTypes];
const WINDOW = [eventTimeStart, eventTimeEnd];
/** What nearly every command on nodes takes. */
const NODES = [...PROJECT, targetPath, threads, ...SELECTION];
const LIST = [
  ...[...PROJECT, targetPath, ...KINDS, exclude, selector, rawSelect, models],
  value("--output", "Output format.", { choices: ["json", "name", "path", "selector"] }),
  multi("--output-keys", "Properties in the JSON output."),
];
const FRESHNESS = [
  ...[...NODES, sqlparse],
  value("--output -o", "File to write the report to.", { path: { kind: "freshness-output", base: "cwd" } }),
];

type Argument = NonNullable<DbtCommand["argument"]>;

function command(
  typed: string,
  help: string,
  options: readonly DbtOption[],
  more: { readonly verb?: string; readonly group?: true; readonly argument?: Argument } = {},
): DbtCommand {
  return {
    words: typed.split(" "),
    verb: more.verb ?? typed,
    help,
    group: more.group ?? false,
    options: [...GLOBAL_OPTIONS, ...options],
    argument: more.argument ?? null,
  };
}

/** dbt itself, before a command is named. */
export const DBT_ROOT: DbtCommand = {
  words: [],
  verb: "",
  help: "Transform data in the warehouse.",
  group: true,
  options: ROOT_OPTIONS,
  argument: null,
};

const FRESHNESS_HELP = "Ask how fresh the sources are.";
const LIST_HELP = "List the resources of the project.";

/** Every command of dbt, aliases and groups included. */
export const DBT_COMMANDS: readonly DbtCommand[] = [
  command("build", "Run seeds, models, snapshots and tests in order.", [
    ...[...NODES, ...KINDS, fullRefresh, empty, ...WINDOW, sample, sqlparse, showRows, storeFailures],
    toggle("--export-saved-queries", "Export the saved queries too.", {
      env: "DBT_EXPORT_SAVED_QUERIES",
      hidden: true,
    }),
    toggle("--include-saved-query", "Former name of --export-saved-queries.", {
      env: "DBT_INCLUDE_SAVED_QUERY",
      hidden: true,
    }),
  ]),
  command("clean", "Delete the folders of clean-targets.", [
    ...[...PROJECT, targetPath],
    toggle("--clean-project-files-only", "Delete nothing outside the project.", {
      env: "DBT_CLEAN_PROJECT_FILES_ONLY",
    }),
  ]),
  command("clone", "Clone nodes from --state into the target.", [...NODES, ...KINDS, fullRefresh]),
  command("compile", "Write the SQL of the selected nodes without running it.", [
    ...[...NODES, fullRefresh, empty, sqlparse, textOutput, introspect, inline],
    toggle("--inject-ephemeral-ctes", "Write ephemeral models into the SQL that uses them.", { hidden: true }),
  ]),
  command("debug", "Check the installation, the project and the connection.", [
    ...PROJECT,
    flag("--connection", "Test the connection only."),
    flag("--config-dir", "Show the folder of profiles.yml and exit."),
  ]),
  command("deps", "Install the packages of the project.", [
    ...PROJECT,
    value("--source", "Where --add-package takes the package from.", { choices: ["hub", "git", "local"] }),
    flag("--lock", "Write package-lock.yml and install nothing."),
    flag("--upgrade", "Take the newest versions."),
    value("--add-package", "Add a package, as name@version."),
  ]),
  command("docs", "Make or show the documentation of the project.", [], { group: true }),
  command("docs generate", "Make the documentation of the project.", [
    ...[...NODES, sqlparse],
    toggle("--compile", "Compile the project first."),
    flag("--empty-catalog", "Leave the catalog empty."),
    flag("--static", "Write one self-contained page too."),
  ]),
  command("docs serve", "Show the documentation in a browser.", [
    ...[...PROJECT, targetPath],
    toggle("--browser", "Open a browser."),
    value("--host", "Address to listen on.", { env: "DBT_HOST" }),
    value("--port", "Port to listen on."),
  ]),
  command(
    "init",
    "Start a project.",
    [
      ...PROJECT,
      flag("--skip-profile-setup -s", "Ask nothing about the profile."),
      flag("--skip-debug", "Do not run dbt debug at the end."),
    ],
    { argument: { name: "PROJECT_NAME", required: false } },
  ),
  command("list", LIST_HELP, LIST),
  command("ls", LIST_HELP, LIST, { verb: "list" }),
  command("parse", "Parse the project and write its manifest.", [...PROJECT, targetPath, threads]),
  command("retry", "Run again what failed in the last command.", [...PROJECT, targetPath, threads, fullRefresh]),
  command("run", "Run the models.", [...NODES, fullRefresh, empty, ...WINDOW, sample, sqlparse]),
  command(
    "run-operation",
    "Run a macro.",
    [
      ...[...PROJECT, targetPath, threads],
      value("--args", "Arguments of the macro (YAML)."),
      value("--sql", "SQL or Jinja to run in place of a macro."),
    ],
    // Required up to dbt 1.11; from 1.12 on `--sql` may stand in for it.
    { argument: { name: "MACRO", required: false } },
  ),
  command("seed", "Load the CSV files.", [...NODES, fullRefresh, empty, sqlparse, showRows]),
  command("show", "Show rows of a model or of inline SQL.", [
    ...[...NODES, fullRefresh, sqlparse, textOutput, introspect, inline],
    value("--inline-direct", "SQL to use without loading the project.", { hidden: true }),
    value("--limit", "Number of rows; -1 is all."),
  ]),
  command("snapshot", "Run the snapshots.", [...NODES, empty, sqlparse]),
  command("source", "Work on the sources of the project.", [], { group: true }),
  command("source freshness", FRESHNESS_HELP, FRESHNESS),
  command("source snapshot-freshness", FRESHNESS_HELP, FRESHNESS, { verb: "source freshness" }),
  command("test", "Run the tests.", [...NODES, ...KINDS, sqlparse, storeFailures]),
];

const BY_WORDS: ReadonlyMap<string, DbtCommand> = new Map(DBT_COMMANDS.map((one) => [one.words.join(" "), one]));

/** The command of exactly these words, an alias included. */
export function findCommand(words: readonly string[]): DbtCommand | undefined {
  return words.length === 0 ? DBT_ROOT : BY_WORDS.get(words.join(" "));
}

/** An option as one of its spellings means it. */
export interface NamedOption {
  readonly option: DbtOption;
  /** The spelling switches it off. */
  readonly negated: boolean;
}

type OptionsByName = ReadonlyMap<string, NamedOption>;

function byName(options: readonly DbtOption[]): OptionsByName {
  const found = new Map<string, NamedOption>();
  const add = (name: string, option: DbtOption, negated: boolean) => {
    if (!found.has(name)) found.set(name, { option, negated });
  };
  for (const option of options) {
    for (const name of option.names) add(name, option, false);
    for (const name of option.negatives) add(name, option, true);
  }
  return found;
}

/** Every option of every command once, the commonest meaning of a name first. */
export const ALL_OPTIONS: readonly DbtOption[] = [
  ...new Set([DBT_ROOT, ...DBT_COMMANDS].flatMap((one) => one.options)),
];

const ANYWHERE = byName(ALL_OPTIONS);
const byCommand = new Map<DbtCommand, OptionsByName>();

/**
 * What a name such as `--target` or `-t` means to a command. A name that the command does not take is looked up in
 * all others: dbt will refuse it, or is a version that moved it, and either way its value is no word of ours.
 */
export function findOption(command: DbtCommand | undefined, name: string): NamedOption | undefined {
  if (command === undefined) return ANYWHERE.get(name);
  let options = byCommand.get(command);
  if (options === undefined) {
    options = byName(command.options);
    byCommand.set(command, options);
  }
  return options.get(name) ?? ANYWHERE.get(name);
}
