/** The metadata server, by which Google tells a machine of its own where and as whom it runs. */
import { readFileSync } from "node:fs";
import { AppError } from "../core/errors.ts";
import { mayPass, RetryLater, type RetryPolicy, reasonOf, untilItPasses } from "./retry.ts";

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

export interface MetadataOptions {
  readonly env: Env;
  readonly fetch?: typeof fetch;
  readonly retry?: RetryPolicy;
}

const TIMEOUT_MS = 5_000;
/** It is part of the machine: what it does not answer soon it hardly will. */
const RETRY: RetryPolicy = { giveUpAfterMs: 12_000, firstPauseMs: 200, maxPauseMs: 2_000 };

/** One value, such as `project/project-id`. Rejects with `identity_unavailable` where there is none. */
export function metadata(path: string, options: MetadataOptions): Promise<string> {
  return untilItPasses(options.retry ?? RETRY, () => metadataOnce(path, options));
}

/** The same, asked for once. Throws `RetryLater` for what may pass. */
export async function metadataOnce(path: string, options: Omit<MetadataOptions, "retry">): Promise<string> {
  const { env, fetch: send = fetch } = options;
  const host = metadataHost(env);
  const what = path.replace(/\?.*$/s, "");
  let response: Response;
  let text: string;
  try {
    response = await send(`http://${host}/computeMetadata/v1/${path}`, {
      headers: { "metadata-flavor": "Google" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: "manual",
    });
    text = (await response.text()).trim();
  } catch (error) {
    throw new RetryLater(
      unanswered(`The metadata server (${host}) could not be asked for ${what}: ${reasonOf(error)}`),
    );
  }
  if (response.ok && text !== "") return text;
  const problem = unanswered(
    `The metadata server (${host}) answered ${response.status} when asked for ${what}: ${text.slice(0, 200)}`,
  );
  throw response.ok || mayPass(response.status) ? new RetryLater(problem) : problem;
}

function unanswered(message: string): AppError {
  return new AppError("identity_unavailable", message, {
    hint: "Try again. If it lasts: see that a service account is attached to what this runs in, and https://status.cloud.google.com",
  });
}
