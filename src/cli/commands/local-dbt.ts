/** `init` and `docs serve` are about this machine: the dbt that is installed here runs them. */
import { spawn } from "node:child_process";
import path from "node:path";
import { AppError } from "../../core/errors.ts";
import { isProgram } from "../../dbt/is-program.ts";
import type { CliContext } from "../context.ts";

/** The first dbt of: the active virtual environment, PATH, ./.venv. */
export function findLocalDbt({ env, cwd, platform }: Pick<CliContext, "env" | "cwd" | "platform">): string | undefined {
  const inVenv = platform === "win32" ? "Scripts" : "bin";
  const searched = (env["PATH"] ?? "").split(path.delimiter).filter((folder) => folder !== "");
  const folders = [
    ...(env["VIRTUAL_ENV"] ? [path.join(env["VIRTUAL_ENV"], inVenv)] : []),
    ...searched,
    path.join(cwd, ".venv", inVenv),
  ];
  const name = platform === "win32" ? "dbt.exe" : "dbt";
  return folders.map((folder) => path.resolve(cwd, folder, name)).find(isProgram);
}

const INSTEAD: Readonly<Record<string, string>> = {
  init: "Install dbt here (python -m pip install dbt-core and an adapter), or copy a project that exists.",
  "docs serve":
    "dbt-remote docs generate --static writes target/static_index.html, which a browser can open; or install dbt here.",
};

/** Resolves to dbt's exit code. */
export async function runLocalDbt(context: CliContext, argv: readonly string[], verb: string): Promise<number> {
  const dbt = findLocalDbt(context);
  if (dbt === undefined) {
    throw new AppError("dbt_not_found", `dbt ${verb} works on this machine, and no dbt is installed here.`, {
      hint: INSTEAD[verb] ?? "Install dbt here.",
    });
  }
  // The terminal sends Ctrl-C to dbt as well; its end is ours.
  const ignore = () => undefined;
  context.signals.on("SIGINT", ignore);
  const child = spawn(dbt, [...argv], { stdio: "inherit", cwd: context.cwd, env: { ...context.env } });
  const forward = () => void child.kill("SIGTERM");
  context.signals.on("SIGTERM", forward);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", (cause) => {
        reject(new AppError("dbt_not_found", `${dbt} can't be started: ${cause.message}.`, { cause }));
      });
      child.once("exit", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 143)));
    });
  } finally {
    context.signals.off("SIGINT", ignore);
    context.signals.off("SIGTERM", forward);
  }
}
