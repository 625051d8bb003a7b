/** The environment values that travel with a run, and those that stay. Pure. */
import {
  type Environment,
  isCustomMetadataName,
  isDbtFlagVariable,
  isSecretName,
  mayBeSent,
  pathOfVariable,
} from "../core/dbt-environment.ts";

export interface EnvChoice {
  readonly env: Environment;
  /** Values of the project's `.env`. */
  readonly dotenv: Readonly<Record<string, string>>;
  /** Names that project and profile use. */
  readonly used: readonly string[];
  /** dbt's flag variables, translated. */
  readonly flags: Readonly<Record<string, string>>;
  /** `--env`. */
  readonly asked: readonly string[];
  /** Names that the user lists as secret. */
  readonly secretNames: readonly string[];
  /** `--send-secret`. */
  readonly sendSecret: readonly string[];
}

export interface TravellingEnv {
  readonly env: Readonly<Record<string, string>>;
  readonly dotenv: Readonly<Record<string, string>>;
  readonly secretNames: readonly string[];
  /** Secrets that are used and set here, and not sent. */
  readonly withheld: readonly string[];
  readonly notices: readonly string[];
}

export function travellingEnv(choice: EnvChoice): TravellingEnv {
  const { env, flags, asked, sendSecret } = choice;
  const secret = [...new Set([...choice.secretNames, ...sendSecret])];
  const maySend = (name: string) => mayBeSent(name) && (!isSecretName(name, secret) || sendSecret.includes(name));
  const custom = Object.keys(env).filter(isCustomMetadataName);
  const wanted = [...new Set([...choice.used, ...custom, "TZ", ...asked, ...sendSecret])];
  const plain = wanted.filter((name) => env[name] !== undefined && !isDbtFlagVariable(name));

  const sent: Record<string, string> = { ...flags };
  for (const name of plain.filter(maySend)) sent[name] = env[name] ?? "";
  const dotenv = Object.entries(choice.dotenv).filter(
    ([name]) =>
      maySend(name) &&
      (wanted.includes(name) ||
        isCustomMetadataName(name) ||
        (isDbtFlagVariable(name) && pathOfVariable(name) === null)),
  );
  const notices = [
    ...[...asked, ...sendSecret]
      .filter((name) => env[name] === undefined)
      .map((name) => `${name} is to be sent, but it is not set here`),
    ...[...asked, ...sendSecret].filter((name) => !mayBeSent(name)).map((name) => `${name} is never sent to a run`),
  ];
  return {
    env: sent,
    dotenv: Object.fromEntries(dotenv),
    secretNames: secret.filter((name) => sent[name] !== undefined && !name.startsWith("DBT_ENV_SECRET")),
    withheld: wanted.filter(
      (name) => (env[name] ?? choice.dotenv[name]) !== undefined && mayBeSent(name) && !maySend(name),
    ),
    notices,
  };
}

const LINE = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)$/;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

/** A `.env` file, as dotenv libraries read it: comments, quotes, `export`; nothing is expanded. */
export function parseDotenv(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const line of text.replace(/^\uFEFF/, "").split(/\r?\n/)) {
    const [, name, rest = ""] = LINE.exec(line) ?? [];
    if (name === undefined) continue;
    const quoted = /^(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(?:#.*)?$/.exec(rest);
    if (quoted === null) values[name] = rest.replace(/(^|\s)#.*$/, "").trimEnd();
    else if (quoted[1] !== undefined) values[name] = quoted[1].replace(/\\([\\'])/g, "$1");
    else values[name] = (quoted[2] ?? "").replace(/\\(.)/g, (_, escaped: string) => ESCAPES[escaped] ?? escaped);
  }
  return values;
}
