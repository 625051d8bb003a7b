/**
 * Bundles the programs of src/ into dist/, where the installed ones run from: finding and reading hundreds of small
 * modules is most of what a start of dbt-server would take. Does nothing when no input has changed. Each file is replaced
 * as a whole, and only where its content differs, so that programs which run meanwhile never read half a file.
 */
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
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { main, root, ScriptError, say } from "./process.mjs";

/** What is read from its own folder at run time, or is large and loaded by few: it stays a package. */
const external = ["@google-cloud/*", "google-auth-library", "@fastify/swagger-ui", "undici"];
/**
 * Of a CommonJS package that is loaded later, the bundler gives the default export alone: what is asked of it by name is
 * undefined. This one brings ES modules along, for browsers.
 */
const alias = { yaml: join(root, "node_modules", "yaml", "browser", "index.js") };
/** Of the oldest Node that the CLI promises to run on. */
const syntax = "node20";
/** A file of an earlier build may still be asked for by a program that was started from it. */
const KEEP_MS = 60 * 60_000;
/**
 * Where most of the CLI's time goes: what it needs for a command of dbt, in one file instead of thirty. It has its own
 * copy of what it shares with the rest, so that nothing but plain data and functions may pass between them.
 */
const whole = join("cli", "commands", "dbt.ts");
/** @type {import("esbuild").Plugin} */
const apart = {
  name: "apart",
  setup({ onResolve }) {
    onResolve({ filter: /\/commands\/dbt\.ts$/ }, ({ kind }) =>
      kind === "dynamic-import" ? { path: "./dbt.js", external: true } : undefined,
    );
  },
};
/** For packages that are CommonJS. */
const banner = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';

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
    "scripts/build.mjs",
    "tsconfig.json",
    "package.json",
    "package-lock.json",
  ];
  return files.map((file) => {
    const { size, mtimeMs } = statSync(join(root, file));
    return [file, size, mtimeMs];
  });
}

/** @returns {{ inputs: unknown } | undefined} */
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
  const oldest = Date.now() - KEEP_MS;
  for (const file of filesBelow(target)) {
    const path = join(target, file);
    const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: oldest };
    if (!wanted.has(file) && mtimeMs < oldest) rmSync(path, { force: true });
  }
}

/** Whether dist/ is what src/ makes. */
export function isBuilt() {
  return existsSync(target) && JSON.stringify(readStamp()?.inputs) === JSON.stringify(inputs());
}

/**
 * Builds where needed. Resolves `ok: false` with the bundler's output where src/ cannot be read; what was built before
 * stays. Types are not looked at: `npm run check` does that.
 * @returns {Promise<{ ok: boolean, built: boolean, output: string }>}
 */
export async function build() {
  if (isBuilt()) return { ok: true, built: false, output: "" };
  const now = JSON.stringify(inputs());
  const fresh = join(root, `.dist-${process.pid}`);
  try {
    // In the folders that they have in src/: paths relative to a module hold in both.
    const mains = filesBelow(source).filter((file) => /^[^/]+\/main\.ts$/.test(file));
    const programs = mains.map((file) => ({ source: join(source, file), folder: join(fresh, dirname(file)) }));
    const failure = await bundle([
      ...programs,
      { source: join(source, whole), folder: join(fresh, "cli"), isWhole: true },
    ]);
    if (failure !== undefined) return { ok: false, built: false, output: failure };
    for (const file of filesBelow(source).filter((path) => path.endsWith(".py"))) {
      mkdirSync(dirname(join(fresh, file)), { recursive: true });
      copyFileSync(join(source, file), join(fresh, file));
    }
    const mainsMade = filesBelow(fresh).filter((file) => /^[^/]+\/main\.js$/.test(file));
    for (const file of mainsMade) chmodSync(join(fresh, file), 0o755);
    publish(fresh);
    mkdirSync(dirname(stampFile), { recursive: true });
    writeFileSync(`${stampFile}.${process.pid}`, JSON.stringify({ inputs: JSON.parse(now) }));
    renameSync(`${stampFile}.${process.pid}`, stampFile);
    return { ok: true, built: true, output: "" };
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/**
 * Each program in a folder of its own, with what it loads later in files beside it, or with `isWhole` in one file with it.
 * Resolves to what the bundler complains about.
 * @param {readonly { readonly source: string, readonly folder: string, readonly isWhole?: boolean }[]} programs
 */
export async function bundle(programs) {
  const { build: esbuild } = loadBundler();
  try {
    for (const program of programs) {
      await esbuild({
        absWorkingDir: root,
        entryPoints: [program.source],
        outdir: program.folder,
        bundle: true,
        splitting: program.isWhole !== true,
        format: "esm",
        platform: "node",
        target: syntax,
        external,
        alias,
        plugins: [apart],
        banner: { js: banner },
        sourcemap: "linked",
        legalComments: "linked",
        logLevel: "silent",
      });
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * Not imported above: set-up starts from here before anything is installed.
 * @returns {typeof import("esbuild")}
 */
function loadBundler() {
  try {
    return createRequire(import.meta.url)("esbuild");
  } catch {
    throw new ScriptError("esbuild is not installed", "Run `npm ci` first.");
  }
}

main(import.meta.url, async () => {
  const { ok, built, output } = await build();
  if (output) console.error(output.trimEnd());
  if (!ok) throw new ScriptError("src/ cannot be built", "The lines above name the files.");
  say(built ? "Built src/ into dist/" : "dist/ is up to date");
});
