#!/usr/bin/env node
/** dbt-remote. Imports next to nothing: what a command needs is loaded when it is known which one it is. */
import { keepCompiled } from "../config/compile-cache.ts";

const { env } = process;
keepCompiled(env);

const { main } = await import("./program.ts");
process.exitCode = await main({
  argv: process.argv.slice(2),
  env: { ...env },
  cwd: process.cwd(),
  platform: process.platform,
  // Opened where something is asked.
  get stdin() {
    return process.stdin;
  },
  stdout: process.stdout,
  stderr: process.stderr,
  signals: process,
});
// Sockets that are kept alive would keep the program alive too.
process.exit();
