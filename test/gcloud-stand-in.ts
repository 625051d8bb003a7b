/** A `gcloud` for PATH, which says what a test wants and writes down what it was asked. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempFolder } from "./folders.ts";

export interface GcloudOptions {
  readonly account?: string;
  readonly project?: string;
  readonly identityToken?: string;
  /** Empty: it fails. */
  readonly accessToken?: string;
}

const FAILS = 'echo "half-a-token"; echo "ERROR: (gcloud.auth) there is no account" >&2; exit 1';

export interface GcloudStandIn {
  /** Where gcloud is on PATH, and its configuration. */
  readonly env: Readonly<Record<string, string>>;
  /** The commands it was given, in order. */
  calls(): string[];
  /** What it prints as an ID token from now on; empty: it fails. */
  setIdentityToken(token: string): void;
}

/** A token that says when it ends; nobody has signed it. */
export function unsignedToken(lifeMs: number, claims: object = {}): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor((Date.now() + lifeMs) / 1000);
  return `${part({ alg: "RS256" })}.${part({ exp, ...claims })}.c2lnbmF0dXJl`;
}

export function gcloudStandIn(options: GcloudOptions = {}): GcloudStandIn {
  const folder = tempFolder("gcloud");
  const at = (...names: string[]): string => join(folder, ...names);
  mkdirSync(at("bin"));
  mkdirSync(at("config", "configurations"), { recursive: true });
  writeFileSync(at("token"), options.identityToken ?? unsignedToken(3_600_000));
  writeFileSync(at("calls"), "");
  writeFileSync(
    at("bin", "gcloud"),
    `#!/bin/sh
echo "$*" >> '${at("calls")}'
case "$*" in
  "auth print-identity-token"*)
    if [ ! -s '${at("token")}' ]; then ${FAILS}; fi
    cat '${at("token")}' ;;
  "auth print-access-token") ${options.accessToken === "" ? FAILS : `echo "${options.accessToken ?? "access"}"`} ;;
  *) echo "ERROR: not known here: $*" >&2; exit 2 ;;
esac
`,
  );
  chmodSync(at("bin", "gcloud"), 0o755);
  writeFileSync(at("config", "active_config"), "work\n");
  const lines = ["[core]", `account = ${options.account ?? "ada@example.org"}`, "[other]", "project = not-this-one"];
  const project = options.project === undefined ? [] : ["[core]", `project = ${options.project}`];
  writeFileSync(at("config", "configurations", "config_work"), [...lines, ...project, ""].join("\n"));
  return {
    env: { PATH: `${at("bin")}:/usr/bin:/bin`, CLOUDSDK_CONFIG: at("config") },
    calls: () => readFileSync(at("calls"), "utf8").split("\n").slice(0, -1),
    setIdentityToken: (token) => writeFileSync(at("token"), token),
  };
}
