/** What the scripts share: where the project is, how they speak, how they run other programs. Runs on Node 20. */
import { spawn, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's folder. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The newer Node that the project is developed with; the server needs it, the CLI does not. */
export const node = join(root, "node_modules", ".bin", "node");

/** The Python of the project's own virtual environment. */
export const python = join(root, ".venv", "bin", "python");

/** An expected failure of a script: printed without a stack, with the next step. */
export class ScriptError extends Error {
  /**
   * @param {string} message
   * @param {string} [hint]
   */
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

/** @param {string} text */
export function say(text) {
  console.error(`▸ ${text}`);
}

/**
 * Runs a program with its output shown and no stdin; resolves to its exit code (128 + n behind signal n is not told apart: 1).
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<number>}
 */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: options.env ?? process.env,
      stdio: ["ignore", "inherit", "inherit"],
    });
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}

/**
 * Like `run`, but a failure throws, naming the command.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, hint?: string }} [options]
 */
export async function must(command, args, options = {}) {
  const code = await run(command, args, options);
  if (code !== 0) throw new ScriptError(`\`${[command, ...args].join(" ")}\` ended with ${code}`, options.hint);
}

/**
 * The trimmed stdout of a short command, or undefined where it fails or is absent.
 * @param {string} command
 * @param {readonly string[]} args
 */
export function capture(command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/**
 * Runs a script's body when its file is the program that was started.
 * @param {string} url
 * @param {() => Promise<number | void>} body resolves to the exit code
 */
export function main(url, body) {
  if (process.argv[1] !== fileURLToPath(url)) return;
  body().then(
    (code) => {
      process.exitCode = code ?? 0;
    },
    (error) => {
      if (error instanceof ScriptError) {
        console.error(`✗ ${error.message}`);
        if (error.hint) console.error(`  ${error.hint}`);
      } else console.error(error);
      process.exitCode = 1;
    },
  );
}
