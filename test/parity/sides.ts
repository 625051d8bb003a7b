/** Does each step of a scenario twice, by local dbt and by dbt-remote, on two equal projects, and compares the outcome. */
import assert from "node:assert/strict";
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { cli, copyProject, type Result, start, startServer, type TestServer, tempFolder } from "../harness.ts";
import { python as ownPython } from "../programs.ts";
import { type ComparableFolder, comparable } from "./compare-artifacts.ts";
import { maskLine, type Places } from "./mask.ts";
import { nodesByName, withoutPlace } from "./order.ts";
import type { Scenario, Step } from "./scenario.ts";

export interface ParityOptions {
  readonly fixture: string;
  /** Writes each side's profiles.yml into the given folder. */
  readonly profiles: (folder: string, side: "local" | "remote") => Promise<void> | void;
  /** The Python that has the dbt of both sides. Default: that of the project's .venv. */
  readonly python?: string;
  /** Of the server. Default: dbt is kept warm, as with every server that is told nothing. */
  readonly serverEnv?: Readonly<Record<string, string>>;
}

interface Side {
  readonly name: "local" | "remote";
  readonly project: string;
  readonly profiles: string;
  readonly home: string;
}

interface Outcome {
  readonly code: number | null;
  readonly lines: readonly string[];
  readonly stderr: string;
  readonly target: ComparableFolder;
}

async function makeSide(name: Side["name"], options: ParityOptions): Promise<Side> {
  const profiles = tempFolder("profiles");
  await options.profiles(profiles, name);
  return { name, project: copyProject(options.fixture), profiles, home: tempFolder("home") };
}

function environment(side: Side, step: Step): Record<string, string> {
  return { DBT_PROFILES_DIR: side.profiles, ...step.env };
}

async function perform(side: Side, step: Step, server: TestServer, python: string): Promise<Result> {
  const cwd = join(side.project, step.cwd ?? ".");
  const env = environment(side, step);
  if (side.name === "local") {
    const args = [...step.args, ...(step.localOnlyArgs ?? [])];
    return start(join(dirname(python), "dbt"), args, { cwd, env, home: side.home }).done;
  }
  return cli(step.args, { cwd, env, home: side.home, server });
}

/** The workspace's folders, as the server's data folder has them, are the remote side's project and profiles. */
const WORKSPACE = /\/workspaces\/[0-9a-f]+\/[12]\/(tree|profiles)/;

function outcome(side: Side, step: Step, result: Result, server: TestServer): Outcome {
  const places: Places = { root: side.project, profiles: side.profiles, home: side.home };
  const plain = (text: string) =>
    text.replace(new RegExp(server.dataDir + WORKSPACE.source, "g"), (_, part: string) =>
      part === "tree" ? side.project : side.profiles,
    );
  const lines = plain(result.stdout)
    .split("\n")
    .map((line) => maskLine(line, places));
  const target = comparable(join(side.project, step.target ?? "target"), places, plain);
  const { code, stderr } = result;
  return { code, stderr, target, lines: step.anyOrder ? lines.map(withoutPlace).sort() : nodesByName(lines) };
}

async function compareStep(
  context: TestContext,
  sides: readonly Side[],
  step: Step,
  server: TestServer,
  python: string,
): Promise<void> {
  const outcomes: Outcome[] = [];
  for (const side of sides) {
    step.edit?.(side.project);
    // what an earlier step left there was compared then; what is there now, this step made
    if (step.target === undefined && step.args[0] !== "retry") clearTarget(side.project);
    outcomes.push(outcome(side, step, await perform(side, step, server, python), server));
  }
  const [local, remote] = outcomes;
  assert.ok(local && remote);
  context.diagnostic(`exit code ${local.code}`);
  const said = `\nlocal stderr: ${local.stderr}\nremote stderr: ${remote.stderr}`;
  assert.equal(remote.code, local.code, `exit codes differ${said}\n${remote.lines.join("\n")}`);
  if (step.code !== undefined) assert.equal(local.code, step.code, `local dbt itself: ${local.lines.join("\n")}`);
  if (step.compare === "code") return;
  assert.deepEqual(remote.lines, local.lines, `stdout differs${said}`);
  assert.deepEqual(remote.target.files, local.target.files, "files of target/ differ");
  for (const path of local.target.files) {
    assert.deepEqual(remote.target.contents[path], local.target.contents[path], `${path} differs`);
  }
}

/** Leaves dbt's parse state, so that both sides go on parsing partially; the rest must be made anew to be compared. */
function clearTarget(project: string): void {
  for (const name of ["compiled", "run"]) rmSync(join(project, "target", name), { recursive: true, force: true });
}

/** Declares a test of the scenario, with a subtest a step; steps after a failed one still run. */
export function parityTests(scenario: Scenario, options: ParityOptions): void {
  test(scenario.name, async (context) => {
    const { python = ownPython, serverEnv = { DBT_SERVER_WARM: "on" } } = options;
    const server = await startServer({ home: tempFolder("home"), args: ["--python", python], env: serverEnv });
    context.after(() => server.stop());
    const sides = [await makeSide("local", options), await makeSide("remote", options)];
    for (const side of sides) mkdirSync(side.home, { recursive: true });
    for (const step of scenario.steps) {
      await context.test(`dbt ${step.args.join(" ")}`, (inner) => compareStep(inner, sides, step, server, python));
    }
  });
}
