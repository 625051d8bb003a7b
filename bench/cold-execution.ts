/** What an execution of a Job in a new container does before dbt begins, counted: nothing of it is there from before. */
import { execFileSync } from "node:child_process";
import { bigqueryVenv } from "../test/bigquery-venv.ts";
import type { UseCounts } from "../test/count-use.ts";
import { python } from "../test/programs.ts";
import { measureRunCost } from "../test/run-cost.ts";

export interface ColdExecution {
  readonly imports: readonly Imports[];
  /** Asked of Google from the post until dbt starts, by server and job together, the project posted for the first time. */
  readonly untilDbt: UseCounts;
}

/** Of dbt and one adapter, in a new process with compiled bytecode. */
interface Imports {
  readonly adapter: string;
  readonly modules: number;
  /** Of bytecode and of compiled extensions. */
  readonly bytes: number;
  /** Seconds of CPU, median. */
  readonly cpu: number;
}

const COUNT = `
import importlib, json, os, resource, sys
before = set(sys.modules)
import dbt.cli.main
importlib.import_module("dbt.adapters." + sys.argv[1])
modules = [module for name, module in list(sys.modules.items()) if name not in before]
files = {getattr(module, "__cached__", None) or getattr(module, "__file__", None) for module in modules} - {None}
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"modules": len(modules), "bytes": sum(os.path.getsize(f) for f in files if os.path.exists(f)),
    "cpu": usage.ru_utime + usage.ru_stime}))
`;
const TIMES = 5;

/** Throws where dbt-bigquery, which the image has by default, can't be installed. */
export async function measureColdExecution(): Promise<ColdExecution> {
  const bigquery = bigqueryVenv();
  if ("missing" in bigquery) throw new Error(bigquery.missing);
  const imports = [countImports("bigquery", bigquery.python), countImports("postgres", python)];
  const { untilDbt } = await measureRunCost({ lines: 10, forMs: 1000, isFollowed: false });
  return { imports, untilDbt };
}

function countImports(adapter: string, python: string): Imports {
  const counted = Array.from({ length: TIMES }, () => {
    const text = execFileSync(python, ["-c", COUNT, adapter], { encoding: "utf8" });
    return JSON.parse(text) as Omit<Imports, "adapter">;
  }).sort((one, other) => one.cpu - other.cpu);
  const median = counted[TIMES >> 1];
  if (median === undefined) throw new Error("nothing was counted");
  return { adapter, ...median };
}

/** The cells of a table; the first row is its head. */
export function coldExecutionRows({ imports, untilDbt }: ColdExecution): string[][] {
  const { documentReads, documentWrites, objectReads, objectWrites } = untilDbt;
  return [
    ["before dbt begins", "counted"],
    ...imports.map(({ adapter, modules, bytes, cpu }) => [
      `Python imports dbt with ${adapter}`,
      `${modules} modules in ${(bytes / 1e6).toFixed(1)} MB, ${cpu.toFixed(1)} s of CPU here`,
    ]),
    ["Firestore, from the post on", `${documentReads} documents read, ${documentWrites} written`],
    ["Cloud Storage, from the post on", `${objectReads} objects read, ${objectWrites} written`],
  ];
}
