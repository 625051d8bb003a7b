/** Everything that can be said of the code without running it: format, lint, types, unused code, import directions. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { main, node, python, root, ScriptError, say } from "./process.mjs";
import { setUpNode } from "./setup.mjs";

/** @param {string} name */
const installed = (name) => join(root, "node_modules", ".bin", name);

/** @type {readonly (readonly [what: string, command: string, ...args: string[]])[]} */
const steps = [
  ["format and lint", installed("biome"), "check", "--error-on-warnings", "."],
  ["types", installed("tsc"), "-p", "."],
  ["unused code", installed("knip"), "--no-progress"],
  ["import directions", node, join(root, "scripts", "import-directions.mjs")],
  // Any Python will do to read the driver: `npm run check` alone makes no virtual environment.
  [
    "Python syntax",
    existsSync(python) ? python : "python3",
    "-c",
    "import ast, pathlib, sys; [ast.parse(p.read_text(), str(p)) for p in pathlib.Path(sys.argv[1]).rglob('*.py')]",
    join(root, "src"),
  ],
];

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
function collect(command, args) {
  return new Promise((resolve) => {
    /** @type {Buffer[]} */
    const chunks = [];
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk) => chunks.push(chunk));
    child.stderr.on("data", (chunk) => chunks.push(chunk));
    child.on("error", (error) => resolve({ ok: false, output: error.message }));
    child.on("close", (code) => resolve({ ok: code === 0, output: Buffer.concat(chunks).toString().trimEnd() }));
  });
}

/** Runs every check, whatever the others say, and throws where one of them failed. */
export async function check() {
  const results = steps.map(([what, command, ...args]) => ({ what, result: collect(command, args) }));
  const failed = [];
  for (const { what, result } of results) {
    const { ok, output } = await result;
    say(`Check: ${what}: ${ok ? "fine" : "not fine"}`);
    if (ok) continue;
    console.error(output);
    failed.push(what);
  }
  if (failed.length > 0) {
    throw new ScriptError(`The check failed: ${failed.join(", ")}`, "`npm run format` mends format and much of lint.");
  }
}

main(import.meta.url, async () => {
  await setUpNode();
  await check();
});
