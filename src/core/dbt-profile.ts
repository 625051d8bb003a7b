/** Which profile and target a command uses, and what of profiles.yml has to be sent. Pure: YAML comes parsed. */
import { type DbtArgv, lastValue } from "./dbt-argv.ts";
import { DBT_ROOT, findOption } from "./dbt-commands.ts";
import { type Environment, valueFromEnvironment } from "./dbt-environment.ts";
import { renderEnvVar } from "./jinja-env-var.ts";

export type YamlMapping = Readonly<Record<string, unknown>>;

/** Narrows parsed YAML to a mapping. */
export function isMapping(value: unknown): value is YamlMapping {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function entry(value: unknown, key: string): unknown {
  return isMapping(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

export interface ProfileChoice {
  readonly profile: string | undefined;
  readonly target: string | undefined;
}

/** What flags, then environment, say of profile and target; dbt renders neither. */
export function profileChoice(parsed: DbtArgv, env: Environment): ProfileChoice {
  const chosen = (name: string) => {
    const typed = lastValue(parsed, name);
    if (typed !== undefined) return typed;
    const option = findOption(DBT_ROOT, name)?.option;
    return option === undefined ? undefined : valueFromEnvironment(option, env);
  };
  return { profile: chosen("--profile"), target: chosen("--target") };
}

/** Why it can't be told which profile is used. dbt says most of it better: these only stop us from guessing. */
export type ProfileProblem =
  | "no_profile"
  | "profile_not_rendered"
  | "profile_not_found"
  | "profile_invalid"
  | "target_not_rendered"
  | "target_not_found";

export type ProfileInUse =
  | {
      readonly problem: null;
      readonly profileName: string;
      readonly targetName: string;
      /** The connection as written, Jinja and all. */
      readonly output: YamlMapping;
    }
  | {
      readonly problem: ProfileProblem;
      readonly profileName: string | undefined;
      readonly targetName: string | undefined;
    };

/** A name as YAML and Jinja give it; a number is a name too. */
function renderName(value: unknown, env: Environment): string | undefined {
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? renderEnvVar(value, env) : undefined;
}

/** The profile and target in use, by dbt's own precedence; a profile that names no target uses `default`. */
export function profileInUse(parameters: {
  /** Parsed dbt_project.yml. */
  readonly project: unknown;
  /** Parsed profiles.yml. */
  readonly profiles: unknown;
  readonly choice: ProfileChoice;
  readonly env: Environment;
}): ProfileInUse {
  const { project, profiles, choice, env } = parameters;
  const named = entry(project, "profile");
  const unusable = (problem: ProfileProblem, profileName?: string, targetName?: string): ProfileInUse => ({
    problem,
    profileName,
    targetName,
  });
  if (choice.profile === undefined && (named === undefined || named === null)) return unusable("no_profile");
  const profileName = choice.profile ?? renderName(named, env);
  if (profileName === undefined) return unusable("profile_not_rendered", undefined, choice.target);
  const profile = entry(profiles, profileName);
  if (profile === undefined) return unusable("profile_not_found", profileName, choice.target);
  const outputs = entry(profile, "outputs");
  if (!isMapping(profile) || !isMapping(outputs)) return unusable("profile_invalid", profileName, choice.target);
  const targetName =
    choice.target ?? (Object.hasOwn(profile, "target") ? renderName(profile["target"], env) : "default");
  if (targetName === undefined) return unusable("target_not_rendered", profileName);
  const output = entry(outputs, targetName);
  if (output === undefined) return unusable("target_not_found", profileName, targetName);
  if (!isMapping(output)) return unusable("profile_invalid", profileName, targetName);
  return { problem: null, profileName, targetName, output };
}

/**
 * The part of profiles.yml that a run needs: `config`, and this profile with its target whole and the others as mere
 * names. Where the target is not known, all of the profile's targets stay whole: dbt is to find the right one. Where
 * there is no such profile, the others' names stay, for dbt tells a profile that is missing from a file that is empty.
 */
export function trimProfile(profiles: unknown, profileName: string, targetName: string | undefined): YamlMapping {
  const config = entry(profiles, "config");
  const profile = entry(profiles, profileName);
  const kept: [string, unknown][] = [];
  if (config !== undefined && profileName !== "config") kept.push(["config", config]);
  if (profile !== undefined) kept.push([profileName, trimTargets(profile, targetName)]);
  else if (isMapping(profiles)) {
    for (const name of Object.keys(profiles)) if (name !== "config") kept.push([name, {}]);
  }
  return Object.fromEntries(kept);
}

function trimTargets(profile: unknown, targetName: string | undefined): unknown {
  const outputs = entry(profile, "outputs");
  if (!isMapping(profile) || !isMapping(outputs) || targetName === undefined) return profile;
  const trimmed = Object.entries(outputs).map(([name, output]) => [name, name === targetName ? output : {}]);
  return { ...profile, outputs: Object.fromEntries(trimmed) };
}
