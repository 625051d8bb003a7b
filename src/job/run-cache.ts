/** What is kept in State for jobs whose folders are new each time, for one run. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Run } from "../core/run.ts";
import { createScrubber } from "../core/scrub.ts";
import { readYamlMapping } from "../snapshot/project-files.ts";
import { createCacheKeys } from "../state/cache-keys.ts";
import { createPackagePackStore } from "../state/package-packs.ts";
import { createParseStateStore } from "../state/parse-states.ts";
import type { State } from "../state/port.ts";
import type { CacheIdentity } from "./cache-identity.ts";
import { createPackageCache, type PackageCache } from "./package-cache.ts";
import { createParseCache, type ParseCache } from "./parse-cache.ts";
import type { Workspace } from "./workspace.ts";

export interface RunCache {
  readonly parseState: ParseCache;
  /** Of the lists of packages as they lie in the project now. */
  packages(packagesDir: string): PackageCache;
}

export interface RunCacheParams {
  readonly state: State;
  readonly now: () => number;
  readonly run: Pick<Run, "workspace">;
  readonly workspace: Workspace;
  readonly identity: CacheIdentity;
  /** dbt's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
}

const LISTS = ["packages.yml", "dependencies.yml", "package-lock.yml"];

export function createRunCache({ state, now, run, workspace, identity, env, secrets }: RunCacheParams): RunCache {
  const keyOf = createCacheKeys(state.records);
  const { engine, settings, environment } = identity;
  async function parseStateKey() {
    const [main, ofEnvironment] = await Promise.all([keyOf("main", engine, settings), keyOf("env", environment)]);
    return { main, environment: ofEnvironment };
  }

  return {
    parseState: createParseCache({
      store: createParseStateStore(state, now),
      key: parseStateKey(),
      workspace: run.workspace,
      secrets,
    }),
    packages: (packagesDir) =>
      createPackageCache({
        ...{ store: createPackagePackStore(state, now), tree: workspace.tree, packagesDir, secrets },
        key: () => {
          const texts = LISTS.map((name) => readText(join(workspace.project, name)));
          // What anybody gets without a credential may be shared; all else stays within its workspace.
          const owner = LISTS.every((name) => isPublic(join(workspace.project, name))) ? "all" : run.workspace;
          const text = texts.join("\n");
          const vars = /\bvar\s*\(/.test(text) ? identity.vars : null;
          return keyOf("packages", engine, owner, texts.map(hashOf), valuesOf(text, env, secrets), vars);
        },
      }),
  };
}

/** Who sends these gets other packages under the same names, and must not have others get them as well. */
const LEADS_ELSEWHERE = /^(?:DBT_(?:ENGINE_)?PACKAGE_HUB_URL|(?:https?|all|no)_proxy)$/i;

/** Values of what the lists name and of what leads to other places, but for secrets, which decide on access alone. */
function valuesOf(text: string, env: RunCacheParams["env"], secrets: readonly string[]): string[] {
  const { scrubText } = createScrubber(secrets);
  const named = [...text.matchAll(/env_var\(\s*['"]([^'"]+)['"]/g)].map(([, name = ""]) => name);
  const names = [...named, ...Object.keys(env).filter((name) => LEADS_ELSEWHERE.test(name))];
  return [...new Set(names)].sort().map((name) => `${name}=${scrubText(env[name] ?? "")}`);
}

/** Whether all packages of a list come from dbt's public hub. */
function isPublic(file: string): boolean {
  const { packages } = readYamlMapping(file);
  if (!Array.isArray(packages)) return true;
  return packages.every((each) => typeof each === "object" && each !== null && "package" in each);
}

const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex");

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
