/** What went wrong with a report, in one line with the cure. Pure. */
import { AppError } from "../../core/errors.ts";
import type { EdrEnding } from "./edr.ts";

const SETUP = 'python -c "from elementary.monitor.dbt_init import DBTInit; DBTInit().setup_internal_dbt_packages()"';

/** In the order in which they are looked for. */
const CURES: readonly (readonly [RegExp, string, string])[] = [
  [
    // It reads them from the dbt_project.yml of each package that it has installed for itself, and from packages.yml.
    /KeyError: ['"]version['"]/,
    "a dbt package that edr has installed for itself, or one in packages.yml, does not say its version",
    `Install edr's own anew, where there is a connection to the hub: ${SETUP}; and give each package of packages.yml its version`,
  ],
  [
    /could not find profile named|profile.*elementary.*(not found|could not be found)/i,
    "edr found no profile for Elementary",
    "Make one with: dbt run-operation elementary.generate_elementary_cli_profile",
  ],
  [
    /hub\.getdbt\.com|failed to (fetch|download|install)|dbt deps.*(failed|error)|external connection exception/i,
    "edr could not install the dbt packages of its own",
    `Install them beforehand, where there is a connection: ${SETUP}`,
  ],
  [
    /(does not exist|not found|no such table|doesn't exist|unknown table)/i,
    "Elementary's tables are not in the warehouse",
    "Make them with: dbt-remote run --select elementary",
  ],
];

/** Why `edr` ended without a report. */
export function edrFailure({ exitCode, isTimeout, output }: EdrEnding, timeoutMs: number): AppError {
  if (isTimeout) {
    return failure(`edr did not end within ${Math.round(timeoutMs / 60_000)} minutes`, "Try: edr report --help");
  }
  const known = CURES.find(([pattern]) => pattern.test(output));
  if (known !== undefined) return failure(known[1], known[2]);
  const told = lastError(output);
  const code = exitCode === null ? "was killed" : `ended with exit code ${exitCode}`;
  return failure(`edr ${code}${told === "" ? "" : `: ${told}`}`, "Try it by hand: edr report");
}

/** `what` and its cure as one line. */
export function failure(what: string, cure: string): AppError {
  return new AppError("internal", `No Elementary report: ${what}.`, { hint: `${cure.replace(/\.?$/, ".")}` });
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
const COLOURS = /\u001b\[[0-9;]*m/g;

/** The last line that speaks of an error, else the last line. */
function lastError(output: string): string {
  const lines = output
    .replace(COLOURS, "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const line = lines.findLast((each) => /error|exception|failed/i.test(each)) ?? lines.at(-1) ?? "";
  return line.slice(0, 300).replace(/\.$/, "");
}
