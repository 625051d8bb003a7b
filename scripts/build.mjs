/**
 * Compiles src/ into dist/, where the installed programs run from. Does nothing when no input has changed. Each file is
 * replaced as a whole, and only where its content differs, so that programs which run meanwhile never read half a file.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { main, root, ScriptError, say } from "./process.mjs";

const source = join(root, "src");
const target = join(root, "dist");
const stampFile = join(root, ".cache", "build.json");

/**
 * Paths of all files below a folder, relative to it, sorted.
 * @param {string} folder
 * @returns {string[]}
 */
function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** Path, size and mtime of everything the build reads. */
function inputs() {
  const files = [
    ...filesBelow(source)
      .filter((file) => (file.endsWith(".ts") && !file.endsWith(".test.ts")) || file.endsWith(".py"))
      .map((file) => join("src", file)),
    "tsconfig.json",
    "tsconfig.build.json",
    "package.json",
    "package-lock.json",
  ];
  return files.map((file) => {
    const { size, mtimeMs } = statSync(join(root, file));
    return [file, size, mtimeMs];
  });
}

/** @returns {{ inputs: unknown, ok: boolean } | undefined} */
function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, "utf8"));
  } catch {
    return undefined; // absent or half written: build again
  }
}

/**
 * Makes `dist` equal to `fresh` by renaming only the files that differ.
 * @param {string} fresh
 */
function publish(fresh) {
  const made = filesBelow(fresh);
  for (const file of made) {
    const from = join(fresh, file);
    const to = join(target, file);
    if (existsSync(to) && readFileSync(to).equals(readFileSync(from))) continue;
    mkdirSync(dirname(to), { recursive: true });
    renameSync(from, to);
  }
  const wanted = new Set(made);
  for (const file of filesBelow(target)) if (!wanted.has(file)) rmSync(join(target, file), { force: true });
}

/**
 * Builds where needed. Resolves `ok: false` with the compiler's output on type errors; the programs are written all the
 * same, so that a test of one part can run while another does not compile.
 * @returns {{ ok: boolean, built: boolean, output: string }}
 */
export function build() {
  const now = JSON.stringify(inputs());
  const stamp = readStamp();
  if (stamp?.ok && JSON.stringify(stamp.inputs) === now && existsSync(target)) {
    return { ok: true, built: false, output: "" };
  }
  const fresh = join(root, `.dist-${process.pid}`);
  try {
    const compiler = join(root, "node_modules", ".bin", "tsc");
    const result = spawnSync(compiler, ["-p", "tsconfig.build.json", "--outDir", fresh, "--pretty", "false"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    if (result.error) throw new ScriptError(`${compiler} could not be started`, "Run `npm ci` first.");
    for (const file of filesBelow(source).filter((path) => path.endsWith(".py"))) {
      mkdirSync(dirname(join(fresh, file)), { recursive: true });
      copyFileSync(join(source, file), join(fresh, file));
    }
    const programs = filesBelow(fresh).filter((file) => /^[^/]+\/main\.js$/.test(file));
    for (const file of programs) chmodSync(join(fresh, file), 0o755);
    publish(fresh);
    const ok = result.status === 0;
    mkdirSync(dirname(stampFile), { recursive: true });
    writeFileSync(`${stampFile}.${process.pid}`, JSON.stringify({ inputs: JSON.parse(now), ok }));
    renameSync(`${stampFile}.${process.pid}`, stampFile);
    return { ok, built: true, output: result.stdout + result.stderr };
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

main(import.meta.url, async () => {
  const { ok, built, output } = build();
  if (output) console.error(output.trimEnd());
  if (!ok) throw new ScriptError("src/ does not compile", "The lines above name the files.");
  say(built ? "Built src/ into dist/" : "dist/ is up to date");
});
