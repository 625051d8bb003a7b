/** What a run takes from Secret Manager: into its envelope in memory, and nowhere else. */
import type { Envelope } from "../core/envelope.ts";
import { AppError } from "../core/errors.ts";
import type { Run } from "../core/run.ts";
import type { CloudSettings } from "./cloud-settings.ts";

export interface SecretsParams extends Pick<CloudSettings, "profilesSecret" | "secretEnv"> {
  readonly run: Pick<Run, "profileFrom">;
  /** Undefined where this job has no Secret Manager. */
  readonly readSecret: ((name: string) => Promise<string>) | undefined;
}

/** The envelope with the server's own profiles and secret values; these win over what was sent. */
export async function withSecrets(envelope: Envelope, params: SecretsParams): Promise<Envelope> {
  const { run, profilesSecret, secretEnv, readSecret } = params;
  const ofProfiles = run.profileFrom === "server" ? profilesSecret : undefined;
  const names = Object.entries(secretEnv);
  if (ofProfiles === undefined && names.length === 0) return envelope;
  if (readSecret === undefined) {
    throw new AppError("bad_argument", "This job can't read secrets of Secret Manager.", {
      hint: "Start dbt-server without --profiles-secret and --secret-env.",
    });
  }
  const [profiles, ...values] = await Promise.all([
    ofProfiles === undefined ? envelope.profiles : readSecret(ofProfiles),
    // As `echo` writes it, a value ends with a line's end that nobody means.
    ...names.map(async ([name, secret]) => [name, (await readSecret(secret)).replace(/\r?\n$/, "")] as const),
  ]);
  return {
    ...envelope,
    profiles,
    env: { ...envelope.env, ...Object.fromEntries(values) },
    secretNames: [...envelope.secretNames, ...names.map(([name]) => name)],
  };
}
