/**
 * dbt promises no order among nodes that do not depend on each other: of two that become ready within a moment, timing
 * decides which one begins, with one thread too (local dbt alone shows both orders of one project within a few runs).
 */

const PLACE = /\b\d+ of \d+ /;

/** A line less the node's place in the run, which also makes its row of dots longer or shorter. */
export const withoutPlace = (line: string): string =>
  line.replace(/\b\d+ of (?=\d+ )/, "<n> of ").replace(/ \.{2,} /, " .. ");

/** What dbt printed, in its order but for which node had which place: places stay in order, and nodes stand sorted behind them. */
export function nodesByName(lines: readonly string[]): string[] {
  const ordered: string[] = [];
  let group: string[] = [];
  const close = () => {
    ordered.push(...group.flatMap((line) => PLACE.exec(line) ?? []), ...group.map(withoutPlace).sort());
    group = [];
  };
  for (const line of lines) {
    if (PLACE.test(line)) {
      group.push(line);
      continue;
    }
    close();
    ordered.push(line);
  }
  close();
  return ordered;
}
