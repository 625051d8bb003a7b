/** What tests of the job drive: State in a data folder, runs posted into it as a server does, and the job's real program. */
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { EMPTY_ENVELOPE, type Envelope } from "../src/core/envelope.ts";
import { isTerminal, type Run } from "../src/core/run.ts";
import { snapshotId, sortByPath } from "../src/snapshot/entry.ts";
import { sha256Of } from "../src/snapshot/hash.ts";
import { takeSnapshot } from "../src/snapshot/take.ts";
import { openLocalState } from "../src/state/local/open.ts";
import type { JsonObject, LogChannel, LogName, State } from "../src/state/port.ts";
import type { NewRun } from "../src/state/runs.ts";
import { createStores, type Stores } from "../src/state/stores.ts";
import { root, tempFolder } from "./folders.ts";
import { newRun } from "./new-run.ts";
import { node, type Program, python, start, until } from "./programs.ts";

export const PROFILE = readFileSync(join(root, "test/fixtures/projects/tiny-profiles/profiles.yml"), "utf8");

export interface PostOptions extends Partial<NewRun> {
  /** Folder of the project; a snapshot of it is taken. */
  readonly project: string;
  readonly args: readonly string[];
  /** Null: none is put, as if it had expired. */
  readonly envelope?: Partial<Envelope> | null;
  /** Further files of the snapshot, which a walk would leave out. */
  readonly moreFiles?: Readonly<Record<string, string>>;
  /** Contents of `inputs` by path. */
  readonly inputTexts?: Readonly<Record<string, string>>;
}

export interface JobHarness {
  readonly dataDir: string;
  readonly state: State;
  readonly stores: Stores;
  readonly workspace: string;
  /** The project's folder in a root of the workspace. */
  projectIn(root: 1 | 2): string;
  post(options: PostOptions): Promise<string>;
  /** Starts the job's program for a posted run. */
  startJob(
    runId: string,
    options?: { readonly root?: 1 | 2; readonly env?: Readonly<Record<string, string>> },
  ): Program;
  /** Posts, runs the job to its end, and gives the run. */
  run(
    options: PostOptions,
    job?: { readonly root?: 1 | 2; readonly env?: Readonly<Record<string, string>> },
  ): Promise<Run>;
  /** Waits for the run's end. */
  ended(runId: string): Promise<Run>;
  /** The text of a stream, of some channels. */
  text(runId: string, name?: LogName, channels?: readonly LogChannel[]): Promise<string>;
  artifact(runId: string, path: string): Promise<string>;
  close(): Promise<void>;
}

export async function createJobHarness(): Promise<JobHarness> {
  const dataDir = tempFolder("data");
  const now = Date.now;
  const state = await openLocalState({ dataDir, now });
  const stores = createStores({ state, now, snapshotId });
  const workspace = sha256Of(randomUUID());
  const programs: Program[] = [];

  const harness: JobHarness = {
    dataDir,
    state,
    stores,
    workspace,
    projectIn: (number) => join(dataDir, "workspaces", workspace, String(number), "tree"),

    async post({ project, args, envelope = { profiles: PROFILE }, inputTexts = {}, moreFiles = {}, ...changes }) {
      const snapshot = await takeSnapshot({ projectDir: project, cacheDir: undefined, exclude: ["tiny.duckdb"] });
      for (const entry of snapshot.entries) await state.contents.put(entry.sha256, await read(snapshot.open(entry)));
      const more = Object.entries(moreFiles).map(([path, text]) => {
        return { path, mode: "100644", sha256: sha256Of(text), size: Buffer.byteLength(text) } as const;
      });
      for (const text of Object.values(moreFiles)) await state.contents.put(sha256Of(text), Buffer.from(text));
      const entries = sortByPath([...snapshot.entries, ...more]);
      await stores.snapshots.put(snapshotId(entries), entries);
      const inputs = Object.entries(inputTexts).map(([path, text]) => ({
        path,
        sha256: sha256Of(text),
        size: text.length,
      }));
      for (const text of Object.values(inputTexts)) await state.contents.put(sha256Of(text), Buffer.from(text));
      const run = newRun({
        ...{ requester: { id: "test", label: "test" }, workspace, command: args, args, verb: args[0] ?? "", inputs },
        ...{ snapshotId: snapshotId(entries), projectDir: snapshot.projectDir, warehouseFile: "tiny.duckdb" },
        ...changes,
      });
      if (envelope !== null) {
        await state.envelopes.put(run.id, { ...EMPTY_ENVELOPE, ...envelope } as unknown as JsonObject);
      }
      await stores.runs.create(run);
      return run.id;
    },

    startJob(runId, { root: number = 1, env = {} } = {}) {
      const program = start(node, [join(root, "src/job/main.ts")], {
        cwd: dataDir,
        env: {
          DBT_JOB_RUN_ID: runId,
          DBT_JOB_ROOT: String(number),
          DBT_SERVER_STATE: "local",
          DBT_SERVER_DATA_DIR: dataDir,
          DBT_SERVER_PYTHON: python,
          ...env,
        },
      });
      programs.push(program);
      return program;
    },

    async run(options, job) {
      const id = await harness.post(options);
      const result = await harness.startJob(id, job).done;
      if (result.stderr !== "") console.error(result.stderr);
      return harness.ended(id);
    },

    ended: (runId) =>
      until(
        `the end of run ${runId}`,
        async () => {
          const run = await stores.runs.require(runId);
          return isTerminal(run.status) ? run : undefined;
        },
        60_000,
      ),

    async text(runId, name = "log", channels = ["out", "err", "job"]) {
      let text = "";
      for (let offset = 0; ; ) {
        const page = await state.logs.read(runId, name, offset, 1_000_000);
        for (const { channel, bytes } of page.segments) if (channels.includes(channel)) text += Buffer.from(bytes);
        if (page.nextOffset === offset) return text;
        offset = page.nextOffset;
      }
    },

    artifact: async (runId, path) => (await read((await stores.artifacts.open(runId, path)).content)).toString(),

    async close() {
      for (const program of programs) program.kill("SIGKILL");
      await state.close();
    },
  };
  return harness;
}

/** A project of these files; paths with `/` are made. */
export async function makeProject(
  files: Readonly<Record<string, string>>,
  folder = tempFolder("project"),
): Promise<string> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return folder;
}

/**
 * Files below a folder that hold a text, whatever they are. Read by another process: to close a database file that
 * this one has open would drop its locks.
 */
export function filesHolding(folder: string, text: string): string[] {
  const { stdout } = spawnSync("grep", ["-rlaF", "-e", text, folder], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => line !== "");
}

async function read(content: Buffer | Readable): Promise<Buffer> {
  return Buffer.isBuffer(content) ? content : Buffer.concat(await content.toArray());
}
