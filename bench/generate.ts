/** Generates dbt projects of any size, the same bytes every time, for the benchmark and for tests of large projects. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface GenerateOptions {
  /** Absolute path of the folder to write the project into. */
  readonly dir: string;
  readonly models: number;
  /** Two generic tests for each model. Default: none. */
  readonly withTests?: boolean;
  readonly threads?: number;
}

/** How many models stand side by side, each on one of the row before: wide enough to keep threads busy. */
const ROW = 10;

/** `m000007`: the name of the nth model, counted from 0. */
export function modelName(index: number): string {
  return `m${String(index).padStart(6, "0")}`;
}

function modelText(index: number): string {
  if (index < ROW) return `select ${index} as id, 'row 0' as label\n`;
  const parent = modelName(index - ROW);
  return `select id, label || '.' as label from {{ ref('${parent}') }}\nwhere id is not null\n`;
}

/** Path of the nth model's file, relative to the project. Folders hold a hundred models each. */
export function modelPath(index: number): string {
  return join("models", `part${String(Math.floor(index / 100)).padStart(3, "0")}`, `${modelName(index)}.sql`);
}

function propertiesText(from: number, to: number): string {
  const rows = Array.from({ length: to - from }, (_, offset) =>
    [
      `  - name: ${modelName(from + offset)}`,
      "    columns:",
      "      - name: id",
      "        data_tests: [not_null, unique]",
    ].join("\n"),
  );
  return `models:\n${rows.join("\n")}\n`;
}

/** Writes a project on DuckDB, profiles.yml included, that `dbt build` builds without errors. */
export function generateProject(options: GenerateOptions): void {
  const { dir, models, withTests = false, threads = 2 } = options;
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  write("dbt_project.yml", 'name: generated\nversion: "1.0.0"\nprofile: generated\nmodel-paths: ["models"]\n');
  const output = `{ type: duckdb, path: generated.duckdb, threads: ${threads} }`;
  write("profiles.yml", `generated:\n  target: dev\n  outputs:\n    dev: ${output}\n`);
  for (let index = 0; index < models; index++) write(modelPath(index), modelText(index));
  for (let from = 0; withTests && from < models; from += 100) {
    write(join(dirname(modelPath(from)), "properties.yml"), propertiesText(from, Math.min(from + 100, models)));
  }
}
