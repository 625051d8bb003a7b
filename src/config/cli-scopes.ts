/** Which options belong to which commands of dbt-remote. */
import type { OptionSpec } from "./options.ts";

/** dbt-remote's own verbs. Every other command is dbt's. */
export const CLI_VERBS = ["runs", "logs", "attach", "cancel", "artifacts", "config", "completion"] as const;
export type CliVerb = (typeof CLI_VERBS)[number];

/** What an option belongs to: `dbt` is every dbt command. */
export type CliScope = "dbt" | CliVerb;

export const EVERYWHERE = ["dbt", ...CLI_VERBS] as const;
export const TALKING = ["dbt", "runs", "logs", "attach", "cancel", "artifacts"] as const;
export const FOLLOWING = ["dbt", "attach"] as const;
export const DBT = ["dbt"] as const;

/** What the CLI adds to a row of the option machinery. */
export interface CliOptionExtras {
  readonly scopes: readonly CliScope[];
  /** A value from a project's file counts only after the user has trusted it: it says where credentials go. */
  readonly needsTrust?: true;
}
export type CliOptionSpec = OptionSpec<unknown> & CliOptionExtras;
