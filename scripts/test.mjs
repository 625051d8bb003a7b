/**
 * Sets up, checks, and runs the tests: `npm test [-- files…]`, `npm run test:long`, `npm run test:external`.
 * With REQUIRE_ALL=1 a skipped test is a failure. With `--no-check` the check is left out.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { check } from "./check.mjs";
import { main, node, root, run, ScriptError, say } from "./process.mjs";
import { setUp } from "./setup.mjs";

const suites = ["default", "long", "external"];

/**
 * The test files of a suite: `x.long.test.ts` belongs to long, `x.external.test.ts` to external, the rest to default.
 * @param {string} suite
 */
function filesOf(suite) {
  return ["src", "test", "bench"]
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((path) => join(folder, path)),
    )
    .filter((path) => path.endsWith(".test.ts") && !path.includes("fixtures"))
    .filter((path) => (/\.(long|external)\.test\.ts$/.exec(path)?.[1] ?? "default") === suite)
    .sort();
}

/**
 * The count of a line such as `# skipped 3` of a report in TAP.
 * @param {string} report
 * @param {string} what
 */
function count(report, what) {
  const matches = [...report.matchAll(new RegExp(`^# ${what} (\\d+)$`, "gm"))];
  return Number(matches.at(-1)?.[1] ?? Number.NaN);
}

/**
 * Runs test files two at a time. Resolves to the exit code.
 * @param {readonly string[]} files
 */
async function runTests(files) {
  const report = join(root, ".cache", "test-report.tap");
  mkdirSync(join(root, ".cache"), { recursive: true });
  // One of each serves all tests; nothing is started where no test asks for it.
  const texts = files.map((file) => readFileSync(join(root, file), "utf8"));
  const parts = ["postgres", "emulators"].filter((part) => texts.some((text) => text.includes(`/${part}.ts"`)));
  const args = [
    "--test",
    "--test-concurrency=2",
    "--test-timeout=900000",
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=tap",
    `--test-reporter-destination=${report}`,
    ...(parts.length > 0 ? ["--test-global-setup=test/global-setup.ts"] : []),
    ...files,
  ];
  // Each file is a process of its own, and most of a short one's time is reading the same modules again.
  const compiled = join(root, ".cache", "compiled");
  const env = { ...process.env, TEST_PARTS: parts.join(","), NODE_COMPILE_CACHE: compiled };
  const code = await run(node, args, { env });
  const text = readFileSync(report, "utf8");
  if (code !== 0) return code;
  if (!(count(text, "tests") > 0)) throw new ScriptError(`No test ran; see ${relative(root, report)}`);
  const skipped = count(text, "skipped") + count(text, "todo");
  if (skipped > 0 && process.env["REQUIRE_ALL"] === "1") {
    const reasons = text.match(/^.*# (?:SKIP|TODO).*$/gm) ?? [];
    throw new ScriptError(`REQUIRE_ALL=1, but ${skipped} tests were skipped:\n${reasons.join("\n")}`);
  }
  return 0;
}

main(import.meta.url, async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { suite: { type: "string", default: "default" }, "no-check": { type: "boolean", default: false } },
  });
  if (!suites.includes(values.suite)) {
    throw new ScriptError(`There is no suite \`${values.suite}\``, `Name one of: ${suites.join(", ")}.`);
  }
  const named = positionals.map((path) => relative(root, resolve(path)));
  const files = named.length > 0 ? named : filesOf(values.suite);
  if (files.length === 0) return say(`The suite ${values.suite} has no tests yet`);
  await setUp();
  if (values.suite === "default" && named.length === 0 && !values["no-check"]) await check();
  say(`Tests: ${files.length} files`);
  return await runTests(files);
});
