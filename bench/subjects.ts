/** What is compared: commands that people type, on generated projects and on the demo's. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import type { Row, SideName, Subject } from "./comparison.ts";
import { modelName, modelPath } from "./generate.ts";
import { newExample, newProject } from "./sides.ts";

/** A build of more models than this takes minutes: few rounds do. */
const SHORT_BUILD = 200;
/** A build of more takes longer than all else together. */
const LONGEST_BUILD = 1000;

interface Commands {
  /** A model that has others above it. */
  readonly one: string;
  readonly path: string;
  readonly rounds: number;
  readonly buildRounds: number;
}

/** Each command with nothing changed, and with that model edited. */
function rowsOf({ one, path, rounds, buildRounds }: Commands): Row[] {
  const commands: readonly (readonly [what: string, args: readonly string[], sides?: readonly SideName[]])[] = [
    ["`ls -s one`", ["ls", "-s", one], ["process"]],
    ["`compile -s one`", ["compile", "-s", one]],
    ["`show --inline`", ["show", "--inline", "select 1 as one"]],
    ["`run -s one`", ["run", "-s", one], ["process"]],
    ["`build`", ["build"]],
  ];
  const edit = (project: string, round: number) => appendFileSync(join(project, path), `-- edited ${round}\n`);
  return commands
    .map(([what, args, more = []]) => ({ what, args, more, rounds: args[0] === "build" ? buildRounds : rounds }))
    .filter((command) => command.rounds > 0)
    .flatMap(({ more, ...command }): Row[] => [
      { ...command, sides: ["local", "started", "warm", ...more] },
      { ...command, what: `${command.what}, that model edited`, sides: ["local", "warm"], edit },
    ]);
}

/** Generated projects on DuckDB. */
export function generated(models: number, rounds: number): Subject {
  const index = Math.min(models - 1, 15);
  const one = modelName(index);
  const buildRounds = models <= SHORT_BUILD ? rounds : models <= LONGEST_BUILD ? Math.min(rounds, 2) : 0;
  return {
    name: `${models} models`,
    project: () => newProject(models),
    // the models above it must exist
    first: ["run", "-s", `+${one}`],
    rows: rowsOf({ one, path: modelPath(index), rounds, buildRounds }),
  };
}

/** The project of the demo. */
export function example(rounds: number): Subject {
  return {
    name: "the example",
    project: newExample,
    first: ["build"],
    rows: rowsOf({
      one: "busiest_routes",
      path: join("models", "marts", "busiest_routes.sql"),
      rounds,
      buildRounds: rounds,
    }),
  };
}
