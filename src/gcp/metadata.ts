/** The metadata server, by which Google tells a machine of its own where and as whom it runs. */
import { readFileSync } from "node:fs";

type Env = Readonly<Record<string, string | undefined>>;

const HOST = "metadata.google.internal";
/** By the firmware, which Linux shows as files: asking the network would take long where nobody answers. */
const FIRMWARE = "/sys/class/dmi/id/product_name";

/** Host of the metadata server; `GCE_METADATA_HOST` names another one. */
export function metadataHost(env: Env): string {
  const named = env["GCE_METADATA_HOST"];
  return named === undefined || named === "" ? HOST : named;
}

/** Whether this is one of Google's machines, so that the metadata server is there. Asks no network. */
export function isOnGoogle(env: Env): boolean {
  const detection = env["METADATA_SERVER_DETECTION"];
  if (detection === "none") return false;
  if (detection === "assume-present") return true;
  const hints = ["GCE_METADATA_HOST", "K_SERVICE", "CLOUD_RUN_JOB"];
  if (hints.some((name) => (env[name] ?? "") !== "")) return true;
  try {
    return readFileSync(FIRMWARE, "utf8").startsWith("Google");
  } catch {
    return false;
  }
}

/** One value, such as `project/project-id`. Rejects where it is not there, or not within `timeoutMs`. */
export async function metadata(
  path: string,
  { env, fetch: send = fetch, timeoutMs = 5_000 }: { env: Env; fetch?: typeof fetch; timeoutMs?: number },
): Promise<string> {
  const response = await send(`http://${metadataHost(env)}/computeMetadata/v1/${path}`, {
    headers: { "metadata-flavor": "Google" },
    signal: AbortSignal.timeout(timeoutMs),
    redirect: "manual",
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`the metadata server answered ${response.status}: ${text.slice(0, 200).trim()}`);
  return text.trim();
}
