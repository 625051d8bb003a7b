/**
 * `npm run demo`: sets up, starts a dbt-server of its own on a free loopback port, builds the example project on real
 * data with dbt-remote, and shows what is left of it. Touches no settings of the user; stops what it started.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { example, prepareExample } from "./example-data.mjs";
import { main, node, python, root, run, ScriptError, say } from "./process.mjs";
import { setUp } from "./setup.mjs";

const cli = join(root, "dist", "cli", "main.js");

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/**
 * An environment in which neither the user's own servers nor settings play a part.
 * @param {string} home
 */
function environment(home) {
  const { PATH, LANG, TMPDIR, TERM, NO_COLOR } = process.env;
  return {
    ...Object.fromEntries(Object.entries({ PATH, LANG, TMPDIR, TERM, NO_COLOR }).filter(([, value]) => value)),
    HOME: home,
    DBT_SEND_ANONYMOUS_USAGE_STATS: "false",
  };
}

/**
 * Starts a server and waits until it answers.
 * @param {NodeJS.ProcessEnv} env
 * @param {string} dataDir
 */
async function startServer(env, dataDir) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const args = [
    join(root, "dist", "server", "main.js"),
    "--port",
    `${port}`,
    "--data-dir",
    dataDir,
    "--python",
    python,
  ];
  /** @type {Buffer[]} */
  const printed = [];
  const child = spawn(node, args, { cwd: dataDir, env, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.on("data", (chunk) => printed.push(chunk));
  child.stderr.on("data", (chunk) => printed.push(chunk));
  const ended = new Promise((resolve) => child.on("close", resolve));
  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await ended;
    clearTimeout(timer);
  };
  for (const deadline = Date.now() + 30_000; ; ) {
    const response = await fetch(`${url}/check`).catch(() => undefined);
    if (response?.ok) return { url, stop };
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new ScriptError(`dbt-server does not answer at ${url}; it printed:\n${Buffer.concat(printed)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * Runs dbt-remote as a user would, its output shown; throws where it fails.
 * @param {NodeJS.ProcessEnv} env
 * @param {readonly string[]} args
 */
async function dbtRemote(env, args) {
  console.error(`\n${relative(root, example)}$ dbt-remote ${args.join(" ")}`);
  const started = performance.now();
  const code = await run(node, [cli, ...args], { cwd: example, env });
  if (code !== 0) throw new ScriptError(`\`dbt-remote ${args.join(" ")}\` ended with ${code}`);
  say(`done in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

main(import.meta.url, async () => {
  say("1/6 Set-up");
  await setUp({ tests: false });
  say("2/6 Data: copying three million flights and the airports from the npm package vega-datasets");
  prepareExample();
  const temp = mkdtempSync(join(realpathSync(tmpdir()), "dbt-remote-demo-"));
  /** @type {Awaited<ReturnType<typeof startServer>> | undefined} */
  let server;
  const interrupted = new Promise((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => reject(new ScriptError("Interrupted")));
  });
  const steps = async () => {
    const home = environment(temp);
    say("3/6 Server: starting dbt-server on a free loopback port, its data in a temporary folder");
    server = await startServer(home, temp);
    say(`dbt-server answers at ${server.url}`);
    const env = { ...home, DBT_SERVER_URL: server.url };
    say("4/6 The example, built on the server; what follows is dbt's own output, as it appears");
    await dbtRemote(env, ["build"]);
    say("5/6 A second command: the server knows the project now, so only the question travels");
    await dbtRemote(env, ["show", "--select", "airport_punctuality", "--limit", "5"]);
    say("6/6 What is left: the runs, and the artifacts of the build");
    await dbtRemote(env, ["runs"]);
    const output = join(temp, "artifacts");
    await dbtRemote(env, ["artifacts", "1", "--output", output]);
    for (const file of [join(example, "target", "manifest.json"), join(example, "target", "run_results.json")]) {
      if (!existsSync(file)) throw new ScriptError(`${file} did not come back`);
    }
    say(`As after a local build, dbt's artifacts are in ${relative(root, join(example, "target"))}/`);
  };
  try {
    await Promise.race([steps(), interrupted]);
  } finally {
    await server?.stop();
    rmSync(temp, { recursive: true, force: true, maxRetries: 5 });
    say("Stopped the server and removed its data");
  }
  console.error("\nNow try it on a project of your own: see README.md");
});
