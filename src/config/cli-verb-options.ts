/** Options of dbt-remote's own verbs. */
import { EVERYWHERE } from "./cli-scopes.ts";
import type { OptionKind } from "./option-kinds.ts";
import { flag, integer, oneOf, parseDurationMs, text } from "./option-kinds.ts";
import { option } from "./options.ts";

/** A moment as ISO 8601, or a length of time before now; kept as it was written. */
function moment(): OptionKind<string> {
  return {
    ...text("TIME", "2h"),
    wanted: "a time such as 2026-01-31T08:00:00Z, or how long ago, such as 2h",
    parse: (texts) => {
      const value = texts.at(-1) ?? "";
      if (parseDurationMs(value) === undefined && Number.isNaN(Date.parse(value))) throw new Error("no time");
      return value;
    },
  };
}

export const VERB_OPTIONS = {
  follow: option(flag(), {
    flag: "--follow",
    aliases: ["-f"],
    default: false,
    help: "Go on until the run has ended.",
    scopes: ["logs"],
  }),
  all: option(flag(), {
    flag: "--all",
    default: false,
    help: "Runs of every workspace, also of others.",
    scopes: ["runs", "logs", "attach", "cancel", "artifacts"],
  }),
  status: option(oneOf(["pending", "running", "success", "failed", "cancelled"], "STATUS"), {
    flag: "--status",
    help: "Only runs with this status.",
    scopes: ["runs"],
  }),
  command: option(text("COMMAND", "build"), {
    flag: "--command",
    help: "Only runs of this dbt command, such as build or 'docs generate'.",
    scopes: ["runs"],
  }),
  since: option(moment(), {
    flag: "--since",
    help: "Only runs made after this time, or in this last length of time, such as 2h.",
    scopes: ["runs"],
  }),
  until: option(moment(), { flag: "--until", help: "Only runs made before this time.", scopes: ["runs"] }),
  limit: option(integer({ min: 1, max: 1000 }), {
    flag: "--limit",
    default: 20,
    help: "How many runs to list.",
    scopes: ["runs"],
  }),
  output: option(text("DIR"), {
    flag: "--output",
    aliases: ["-o"],
    defaultText: "list them only",
    help: "Folder to write the run's artifacts to.",
    scopes: ["artifacts"],
  }),
  project: option(flag(), {
    flag: "--project",
    default: false,
    help: "Change the project's dbt_remote.yml, not the user's own configuration.",
    scopes: ["config"],
  }),
  quiet: option(flag(), {
    flag: "--quiet",
    aliases: ["-q"],
    default: false,
    help: "Nothing on stderr but errors.",
    scopes: ["logs", "attach", "cancel", "artifacts"],
  }),
  projectDir: option(text("DIR"), {
    flag: "--project-dir",
    defaultText: "DBT_PROJECT_DIR, else the nearest parent folder with a dbt_project.yml",
    help: "The dbt project.",
    scopes: ["runs", "logs", "attach", "cancel", "artifacts", "config"],
  }),
  help: option(flag(), {
    flag: "--help",
    aliases: ["-h"],
    default: false,
    help: "Explain and exit.",
    scopes: EVERYWHERE,
  }),
} as const;
