/** Random edits of a small dbt project, the same ones for every copy of it. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** What a project is made of, and what its commands are given. */
interface Shape {
  readonly models: Model[];
  macroText: string;
  seedRows: number;
  variable: string;
  envValue: string;
  target: "dev" | "prod";
  isBroken: boolean;
}

interface Model {
  readonly id: number;
  name: string;
  literal: number;
  description: string;
  isTested: boolean;
  /** Of the model that it selects from; null for the seed. */
  readonly parent: number | null;
}

export interface Edited {
  /** What was done. */
  readonly edit: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Path and text of every file, relative to the project. */
  readonly files: Readonly<Record<string, string>>;
}

type Random = (below: number) => number;

/** Mulberry32: the same numbers for the same seed, everywhere. */
function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

type Edit = (shape: Shape, random: Random, step: number) => string;

const pick = ({ models }: Shape, random: Random): Model => {
  const model = models[random(models.length)];
  if (model === undefined) throw new Error("there is always a model");
  return model;
};

const EDITS: readonly Edit[] = [
  (shape, random, step) => {
    const model = pick(shape, random);
    model.literal = step;
    return `model ${model.name} selects ${step}`;
  },
  (shape, _, step) => {
    shape.macroText = `upper(cast({{ column }} as varchar)) || '${step}'`;
    return "the macro";
  },
  (shape, random, step) => {
    const model = pick(shape, random);
    model.description = `as of step ${step}`;
    return `the description of ${model.name}`;
  },
  (shape, random) => {
    const model = pick(shape, random);
    model.isTested = !model.isTested;
    return `a test of ${model.name} ${model.isTested ? "comes" : "goes"}`;
  },
  (shape) => {
    shape.seedRows += 1;
    return "a row of the seed";
  },
  (shape, random, step) => {
    const model = pick(shape, random);
    const before = model.name;
    model.name = `model_${model.id}_${step}`;
    return `${before} is renamed to ${model.name}`;
  },
  (shape, random) => {
    const leaves = shape.models.filter(({ id }) => !shape.models.some(({ parent }) => parent === id));
    const model = leaves[random(leaves.length)];
    if (model === undefined || shape.models.length < 3) return "nothing";
    shape.models.splice(shape.models.indexOf(model), 1);
    return `${model.name} is deleted`;
  },
  (shape, random, step) => {
    shape.models.push(modelOf(100 + step, pick(shape, random).id));
    return "a new model";
  },
  (shape, _, step) => {
    shape.variable = `word ${step}`;
    return "a var";
  },
  (shape) => {
    shape.target = shape.target === "dev" ? "prod" : "dev";
    return `the target is ${shape.target}`;
  },
  (shape, _, step) => {
    shape.envValue = `value ${step}`;
    return "an environment variable";
  },
  (shape) => {
    shape.isBroken = true;
    return "a model that does not parse";
  },
];

const COMMANDS = [["build"], ["run"], ["compile"], ["ls"], ["test"], ["docs", "generate"]];

function modelOf(id: number, parent: number | null): Model {
  return { id, name: `model_${id}`, literal: id, description: `model ${id}`, isTested: id % 2 === 0, parent };
}

/** The first is the project as it begins; every other is the one before with one more edit. */
export function* edits(seed: number, count: number): Generator<Edited> {
  const random = randomFrom(seed);
  const shape: Shape = {
    models: [modelOf(0, null), modelOf(1, 0), modelOf(2, 0), modelOf(3, 1), modelOf(4, 3)],
    macroText: "cast({{ column }} as varchar)",
    seedRows: 2,
    variable: "word",
    envValue: "value",
    target: "dev",
    isBroken: false,
  };
  yield { edit: "the project as it begins", args: ["build", ...settings(shape)], ...written(shape) };
  // Every kind once, in random order, and then again.
  let left: Edit[] = [];
  for (let step = 1; step <= count; step++) {
    shape.isBroken = false;
    if (left.length === 0) left = [...EDITS];
    const [edit] = left.splice(random(left.length), 1);
    const done = edit?.(shape, random, step) ?? "nothing";
    const command = COMMANDS[random(COMMANDS.length)] ?? ["build"];
    yield { edit: done, args: [...command, ...settings(shape)], ...written(shape) };
  }
}

function settings({ variable, target }: Shape): string[] {
  return ["--target", target, "--vars", JSON.stringify({ word: variable })];
}

function written(shape: Shape): Pick<Edited, "env" | "files"> {
  const nameOf = (id: number | null) => shape.models.find((model) => model.id === id)?.name;
  const files: Record<string, string> = {
    "dbt_project.yml":
      "name: edited\nversion: '1.0'\nprofile: edited\nseeds: {+full_refresh: true}\n" +
      "flags: {send_anonymous_usage_stats: false}\n",
    "macros/shown.sql": `{% macro shown(column) %}${shape.macroText}{% endmacro %}\n`,
    "seeds/things.csv": `id,thing\n${Array.from({ length: shape.seedRows }, (_, row) => `${row},thing ${row}\n`).join("")}`,
    "models/properties.yml": JSON.stringify({
      models: shape.models.map(({ name, description, isTested }) => ({
        name,
        description: `${description} {{ doc('words') }}`,
        columns: [{ name: "id", data_tests: isTested ? ["not_null"] : [] }],
      })),
    }),
    "models/words.md": "{% docs words %}in other words{% enddocs %}\n",
    "models/settings.sql":
      "select '{{ var('word') }}' as a, '{{ env_var('EDITED_VALUE') }}' as b, '{{ target.name }}' as c\n",
  };
  for (const { name, literal, parent } of shape.models) {
    const from = parent === null ? "{{ ref('things') }}" : `{{ ref('${nameOf(parent)}') }}`;
    files[`models/${name}.sql`] = `select id, {{ shown("thing") }} as thing, ${literal} as number from ${from}\n`;
  }
  if (shape.isBroken) files["models/broken.sql"] = "select {{ ref('no_such_model') }\n";
  return { files, env: { EDITED_VALUE: shape.envValue } };
}

/** Makes a folder what it is to be, touching only what differs from the step before. */
export function apply(folder: string, before: Edited | undefined, now: Edited): void {
  for (const path of Object.keys(before?.files ?? {})) if (now.files[path] === undefined) rmSync(join(folder, path));
  for (const [path, text] of Object.entries(now.files)) {
    if (before?.files[path] === text) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}
