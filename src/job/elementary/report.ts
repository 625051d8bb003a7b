/** Makes Elementary's report of a run, in dbt's own environment, and keeps it with the run's artifacts. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { parseDbtArgv } from "../../core/dbt-argv.ts";
import { DBT_FLAG_VARIABLES } from "../../core/dbt-environment.ts";
import { isMapping, profileChoice, profileInUse, type YamlMapping } from "../../core/dbt-profile.ts";
import { ELEMENTARY_OUTPUT, ELEMENTARY_REPORT, hasElementaryReport } from "../../core/elementary.ts";
import { createScrubber } from "../../core/scrub.ts";
import { packStream } from "../../snapshot/pack.ts";
import type { ArtifactStore } from "../../state/artifacts.ts";
import { toWire } from "../adapt.ts";
import type { AfterDbt } from "../execute-run.ts";
import type { StopSwitch } from "../stopping.ts";
import { findEdr, runEdr } from "./edr.ts";
import { edrFailure, failure } from "./failure.ts";
import { elementaryPlace, elementaryProfile } from "./profile.ts";

export interface ReporterParams {
  readonly artifacts: ArtifactStore;
  /** The Python that runs dbt. */
  readonly python: string | undefined;
  readonly stop: StopSwitch;
}

const TIMEOUT_MS = 15 * 60_000;
const PACK = "elementary";

/** For runs that ask for it. Throws what kept it from making the report, in a line with the cure. */
export function createElementaryReporter({ artifacts, python, stop }: ReporterParams) {
  return async (finished: AfterDbt): Promise<void> => {
    const { run, env, targetDir, scratch, secrets, say } = finished;
    if (!run.options.elementary || !hasElementaryReport(run.verb) || stop.request !== undefined) return;
    const invocationId = reportedInvocation(finished);
    if (invocationId === undefined) {
      say("No Elementary report: dbt ended before it had any results.");
      return;
    }
    const profile = readProfile(finished);
    const edr = findEdr(python, env);
    if (edr === undefined) {
      throw failure(
        "there is no edr beside dbt",
        `Install it there: pip install 'elementary-data[${profile.adapter}]'`,
      );
    }
    const folder = join(scratch, "elementary");
    const [profilesDir, configDir, outDir] = ["profiles", "config", "out"].map((name) => join(folder, name));
    if (profilesDir === undefined || configDir === undefined || outDir === undefined) return;
    for (const each of [profilesDir, configDir, outDir]) mkdirSync(each, { recursive: true, mode: 0o700 });
    writeFileSync(join(profilesDir, "profiles.yml"), profile.text, { mode: 0o600 });
    writeFileSync(join(configDir, "config.yml"), "anonymous_usage_tracking: false\n");
    const page = join(folder, ELEMENTARY_REPORT);
    const args = [
      ...["report", "-c", configDir, "--project-dir", finished.project, "--profiles-dir", profilesDir],
      ...["--file-path", page, "--target-path", outDir, "--open-browser", "false"],
      ...["--select", `invocation_id:${invocationId}`],
    ];
    say("making the Elementary report");
    try {
      const edrEnv = { ...withoutFlags(env), EDR_INTERNAL_TARGET_PATH: join(folder, "internal") };
      const ending = await runEdr({ edr, args, cwd: folder, env: edrEnv, stop, timeoutMs: TIMEOUT_MS });
      const json = join(outDir, ELEMENTARY_OUTPUT);
      if (stop.request !== undefined) throw failure("the run was stopped while it was made", "Run the command again");
      if (ending.exitCode !== 0 || !existsSync(page)) throw edrFailure(ending, TIMEOUT_MS);
      const files = new Map([[ELEMENTARY_REPORT, maskPage(readFileSync(page, "utf8"), secrets)]]);
      const data = existsSync(json) ? readFileSync(json, "utf8") : undefined;
      if (data !== undefined) files.set(ELEMENTARY_OUTPUT, createScrubber(secrets).scrubText(data));
      await keep(artifacts, finished, files);
      say(`the Elementary report is ${toWire(join(targetDir, ELEMENTARY_REPORT), finished.folders)}`);
      if (data !== undefined && invocationOf(data) !== invocationId) {
        throw failure(
          "the report does not tell of this run, whose results are not in the warehouse",
          "Let Elementary's on-run-end hook run: remove disable_run_results and the like from the project's vars",
        );
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

/** dbt's invocation, where its results are there; what an earlier command left does not count. */
function reportedInvocation({ targetDir, invocationId }: AfterDbt): string | undefined {
  if (invocationId === undefined) return undefined;
  const ids = ["run_results.json", "sources.json"].map((name) => {
    const metadata = readJson(join(targetDir, name))?.["metadata"];
    return isMapping(metadata) ? metadata["invocation_id"] : undefined;
  });
  return ids.includes(invocationId) ? invocationId : undefined;
}

function invocationOf(json: string): unknown {
  const invocation = parseJson(json)?.["invocation"];
  return isMapping(invocation) ? invocation["invocation_id"] : undefined;
}

/** The profiles.yml for `edr`. Throws where package or profile are missing. */
function readProfile({ project, targetDir, env, args, folders }: AfterDbt): { text: string; adapter: string } {
  const place = elementaryPlace(readJson(join(targetDir, "manifest.json")));
  if (place === undefined) {
    throw failure(
      "the project does not have the dbt package elementary",
      "Add `package: elementary-data/elementary` to packages.yml, then: dbt-remote deps && dbt-remote run --select elementary",
    );
  }
  const profiles = readYaml(join(folders.profiles, "profiles.yml"));
  const choice = profileChoice(parseDbtArgv(args), env);
  const found = profileInUse({ project: readYaml(join(project, "dbt_project.yml")), profiles, choice, env });
  if (found.problem !== null) {
    throw failure(
      `the profile in use can't be told (${found.problem.replaceAll("_", " ")})`,
      "Name it with --profile and --target, or add a profile called elementary to profiles.yml",
    );
  }
  const { output } = found;
  const text = elementaryProfile({ profiles, output, place, project, env });
  return { text, adapter: String(output["type"] ?? "ADAPTER") };
}

/** dbt's flags are meant for the user's project; `edr` has a dbt project of its own. */
function withoutFlags(env: Readonly<Record<string, string>>): Record<string, string> {
  const flags = new Set(DBT_FLAG_VARIABLES);
  return Object.fromEntries(Object.entries(env).filter(([name]) => !flags.has(name)));
}

/** The page holds its data in base64, where no secret would be seen. */
function maskPage(page: string, secrets: readonly string[]): string {
  const { scrubText } = createScrubber(secrets);
  return scrubText(
    page.replace(/atob\((['"])([A-Za-z0-9+/=]+)\1\)/g, (whole, quote: string, base64: string) => {
      const text = Buffer.from(base64, "base64").toString("utf8");
      const masked = scrubText(text);
      return masked === text ? whole : `atob(${quote}${Buffer.from(masked).toString("base64")}${quote})`;
    }),
  );
}

async function keep(
  artifacts: ArtifactStore,
  { run, targetDir, folders }: AfterDbt,
  files: ReadonlyMap<string, string>,
): Promise<void> {
  const inputs = [...files].flatMap(([name, text]) => {
    const path = toWire(join(targetDir, name), folders);
    const content = Buffer.from(text);
    return path === undefined ? [] : [{ path, mode: "100644" as const, size: content.length, content }];
  });
  const { stream, index } = packStream(inputs);
  await artifacts.putPack({ runId: run.id, name: PACK, content: stream, index });
}

function readYaml(file: string): unknown {
  try {
    const document = parseDocument(readFileSync(file, "utf8"), {
      ...{ version: "1.1", merge: true, uniqueKeys: false, logLevel: "silent" },
    });
    return document.toJS({ maxAliasCount: 1000 });
  } catch {
    return undefined;
  }
}

function readJson(file: string): YamlMapping | undefined {
  try {
    return parseJson(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

function parseJson(text: string): YamlMapping | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return isMapping(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
