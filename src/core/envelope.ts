/**
 * What one run needs and nobody may keep. Sealed by State when the run is posted, read and deleted by its job.
 */
export interface EnvelopeFile {
  /** A bare file name; the profile refers to it as `@profiles/<name>`. */
  readonly name: string;
  readonly contentBase64: string;
}

export interface Envelope {
  /** Text of a profiles.yml that holds the profile in use; null where the server has its own or none is needed. */
  readonly profiles: string | null;
  /** Values for dbt's environment: dbt's flag variables and the names that project and profile use. */
  readonly env: Readonly<Record<string, string>>;
  /** Values of the project's `.env`; used only where the engine itself would load that file, and below `env`. */
  readonly dotenv: Readonly<Record<string, string>>;
  /** Names in `env` whose values are secret, beside `DBT_ENV_SECRET*`. */
  readonly secretNames: readonly string[];
  /** Files that the profile points at, sent because the user said so. */
  readonly files: readonly EnvelopeFile[];
  /** What dbt gets, where a secret value stands in it: the run's record then has it masked. */
  readonly args: readonly string[] | null;
}

export const EMPTY_ENVELOPE: Envelope = { profiles: null, env: {}, dotenv: {}, secretNames: [], files: [], args: null };

/** How long a run may wait before its envelope is gone. */
export const ENVELOPE_LIFETIME_MS = 24 * 60 * 60 * 1000;
