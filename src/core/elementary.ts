/** The Elementary report of a run: after which commands there is one, and what its files are called. Pure. */

/** Commands whose results the dbt package `elementary` keeps in the warehouse. */
const REPORTED: ReadonlySet<string> = new Set([
  ...["build", "run", "test", "seed", "snapshot", "retry", "source freshness"],
]);

/** Whether a report has anything to tell after this command. */
export function hasElementaryReport(verb: string): boolean {
  return REPORTED.has(verb);
}

/** The page, in the run's target folder. */
export const ELEMENTARY_REPORT = "elementary_report.html";
/** What the page shows, as JSON, beside it. */
export const ELEMENTARY_OUTPUT = "elementary_output.json";
