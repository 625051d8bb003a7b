/** What decides whether something that was cached is of use to a run: never with a secret value in it. */
import { type DbtArgv, lastValue } from "../core/dbt-argv.ts";
import type { Envelope } from "../core/envelope.ts";
import { createScrubber } from "../core/scrub.ts";
import { installedDbt } from "../dbt/installed-dbt.ts";
import type { Json } from "../state/port.ts";

export interface CacheIdentity {
  /** Versions of dbt and its adapters, as far as they can be told. */
  readonly engine: Json;
  /** The project's place, profile, target, vars and connection. */
  readonly settings: Json;
  readonly vars: Json;
  /** What was sent for dbt's environment. */
  readonly environment: Json;
}

export interface CacheIdentityParams {
  readonly parsed: DbtArgv;
  readonly envelope: Pick<Envelope, "env" | "dotenv">;
  /** Text of the profiles.yml in use. */
  readonly profiles: string;
  readonly secrets: readonly string[];
  readonly python: string | undefined;
  /** Absolute; dbt's folder. A parse state that was moved elsewhere leads dbt to files that are not there. */
  readonly project: string;
}

/** dbt checks all of this itself as well; what it would not accept is not even fetched. */
export function cacheIdentity(params: CacheIdentityParams): CacheIdentity {
  const { parsed, envelope, profiles, secrets, python, project } = params;
  const { scrubText } = createScrubber(secrets);
  const typed = (name: string): string | null => {
    const value = lastValue(parsed, name);
    return value === undefined ? null : scrubText(value);
  };
  const sorted = (values: Readonly<Record<string, string>>): Json =>
    Object.entries(values)
      .map(([name, value]) => [name, scrubText(value)])
      .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
  return {
    engine: python === undefined ? [] : installedDbt(python),
    vars: typed("--vars"),
    settings: [project, typed("--profile"), typed("--target"), typed("--vars"), scrubText(profiles)],
    environment: [sorted(envelope.env), sorted(envelope.dotenv)],
  };
}
