#!/usr/bin/env node
/** dbt-server: the command line. Nothing that an older Node lacks is loaded before its version is known. */
import { readFileSync } from "node:fs";
import module from "node:module";
import { availableParallelism, homedir } from "node:os";
import { join } from "node:path";
import { keepCompiled } from "../config/compile-cache.ts";
import { AppError } from "../core/errors.ts";
import type { GoogleConnections } from "./google-backend.ts";
import { checkNode } from "./node-version.ts";
import { parseServerCommand, serverHelp } from "./options.ts";

/** Each loads what it connects to only where that is used. */
const google: GoogleConnections = {
  state: async (params) => (await import("../gcp/connect.ts")).connectGcp(params),
  run: async (params) => (await import("../gcp/run.ts")).connectRun(params),
  ownService: async (params) => (await import("../gcp/own-service.ts")).readOwnService(params),
};

async function main(): Promise<void> {
  checkNode(process.version);
  const env = { ...process.env };
  const home = env["HOME"] === undefined || env["HOME"] === "" ? homedir() : env["HOME"];
  const around = { cwd: process.cwd(), home, cores: availableParallelism() };
  const command = parseServerCommand(process.argv.slice(2), env, around);
  switch (command.kind) {
    case "help":
      process.stdout.write(serverHelp());
      return;
    case "version":
      process.stdout.write(`${version()}\n`);
      return;
    case "gc": {
      const { collectGarbage } = await import("./collect-garbage.ts");
      process.stdout.write(`${await collectGarbage({ ...command, env, home, google })}\n`);
      return;
    }
    case "serve": {
      keepCompiled(env, join(command.settings.dataDir, "compiled"));
      const { serve } = await import("./serve.ts");
      await serve({ settings: command.settings, env, version: version(), google, ...around });
      module.flushCompileCache();
      return;
    }
  }
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return String((JSON.parse(text) as { version?: unknown }).version);
}

main().catch((error: unknown) => {
  if (error instanceof AppError) {
    process.stderr.write(`dbt-server: ${error.message}\n${error.hint === undefined ? "" : `${error.hint}\n`}`);
    process.exit(error.exitCode);
  }
  console.error(error);
  process.exit(2);
});
