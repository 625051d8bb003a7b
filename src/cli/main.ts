#!/usr/bin/env node
/** dbt-remote. Imports next to nothing: what a command needs is loaded when it is known which one it is. */
import module from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

const { env } = process;
// Compiled code is kept in the user's own folder: the default is one that others may write to.
const cache = join(env["XDG_CACHE_HOME"] || join(env["HOME"] || homedir(), ".cache"), "dbt-remote", "compiled");
module.enableCompileCache?.(cache);

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
