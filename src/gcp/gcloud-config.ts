/** What the user has set in gcloud, read from its own files: asking the program takes a second. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

export interface GcloudConfig {
  /** Name of the configuration in use. */
  readonly name: string;
  readonly folder: string;
  readonly projectId: string | undefined;
  readonly account: string | undefined;
  /** A service account that gcloud acts as. */
  readonly impersonates: string | undefined;
}

export interface GcloudPlace {
  /** Of the process; gcloud's own variables win over its files. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
}

/** Folder of gcloud's files. */
export function gcloudFolder({ env, home }: GcloudPlace): string {
  return set(env["CLOUDSDK_CONFIG"]) ?? join(set(env["APPDATA"]) ?? join(home, ".config"), "gcloud");
}

/** Resolves also where there is no gcloud; then nothing is set. */
export async function readGcloudConfig(place: GcloudPlace): Promise<GcloudConfig> {
  const { env } = place;
  const folder = gcloudFolder(place);
  const active = async () => set((await textOf(join(folder, "active_config"))).trim());
  const name = set(env["CLOUDSDK_ACTIVE_CONFIG_NAME"]) ?? (await active()) ?? "default";
  const values = parseIni(await textOf(join(folder, "configurations", `config_${name}`)));
  const value = (section: string, key: string) =>
    set(env[`CLOUDSDK_${section}_${key}`.toUpperCase()]) ?? values.get(`${section}/${key}`);
  return {
    ...{ name, folder },
    projectId: value("core", "project"),
    account: value("core", "account"),
    impersonates: value("auth", "impersonate_service_account"),
  };
}

/** Keys as `section/key`. */
function parseIni(text: string): Map<string, string> {
  const values = new Map<string, string>();
  let section = "";
  for (const line of text.split(/\r?\n/)) {
    const [, heading] = /^\s*\[([^\]]+)\]/.exec(line) ?? [];
    if (heading !== undefined) section = heading.trim();
    const [, key, value] = /^\s*([^#;=\s]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined && value) values.set(`${section}/${key}`, value);
  }
  return values;
}

const textOf = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
const set = (value: string | undefined): string | undefined => (value === "" ? undefined : value);
