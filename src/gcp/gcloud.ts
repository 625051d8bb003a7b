/** gcloud, the program. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { AppError } from "../core/errors.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Path of gcloud; undefined where PATH has none. */
export async function findGcloud(env: Env): Promise<string | undefined> {
  const names = process.platform === "win32" ? ["gcloud.cmd", "gcloud.exe"] : ["gcloud"];
  for (const folder of (env["PATH"] ?? env["Path"] ?? "").split(delimiter)) {
    for (const name of names) {
      const path = join(folder, name);
      const isThere = await access(path, constants.X_OK).then(
        () => folder !== "",
        () => false,
      );
      if (isThere) return path;
    }
  }
  return undefined;
}

const TIMEOUT_MS = 20_000;

/** What a command prints, without blanks around it. Rejects with `identity_unavailable` and gcloud's own reason. */
export function runGcloud(
  path: string,
  args: readonly string[],
  { env, timeoutMs = TIMEOUT_MS }: { readonly env: Env; readonly timeoutMs?: number },
): Promise<string> {
  const options = {
    env: { ...env, CLOUDSDK_CORE_DISABLE_PROMPTS: "1" },
    timeout: timeoutMs,
    killSignal: "SIGKILL",
    windowsHide: true,
    // The only way in which Windows starts a .cmd file; all arguments are our own but the audience, which is a URL.
    shell: process.platform === "win32",
  } as const;
  return new Promise((resolve, reject) => {
    const child = execFile(path, [...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout.trim());
      const said = stderr.split("\n").find((line) => line.startsWith("ERROR")) ?? stderr.trim().split("\n")[0];
      const why = error.killed ? `no answer for ${timeoutMs / 1000} s` : (said ?? "").slice(0, 300) || error.code;
      // Not the error itself: it holds what gcloud printed.
      reject(
        new AppError("identity_unavailable", `gcloud ${args.join(" ")} failed: ${why}`, { hint: "gcloud auth login" }),
      );
    });
    child.stdin?.end();
  });
}
