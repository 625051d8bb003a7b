/** Starts a warm parent, the process that has imported dbt, and asks it what it holds. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("../dbt/driver/warm_parent.py", import.meta.url));
/** The kernel takes no longer path for a Unix socket; a run's own lie one folder deeper. */
const LONGEST_FOLDER = 70;
const STATS_MS = 5_000;

export interface WarmParentOptions {
  /** Absolute path of the Python that has dbt. */
  readonly python: string;
  /** The whole environment in which dbt is imported: what a run's own has of these names must be the same. */
  readonly env: Readonly<Record<string, string>>;
  /** A folder for temporary files; what is made there is readable by this user alone. */
  readonly tempFolder: string;
  /** For how many projects the parsed manifest is kept in memory. */
  readonly projects: number;
  /** What the parent and the manifests may take together. */
  readonly memoryBytes: number;
  /** False where a process that has loaded dbt must not fork: it then serves one run only. Default: on Linux alone. */
  readonly forks?: boolean;
}

export interface WarmParentStats {
  readonly pid: number;
  readonly rssBytes: number;
  /** All that can be prepared for runs is. */
  readonly isWarm: boolean;
  /** Runs up to now. */
  readonly forked: number;
  /** Those of them that began with their project's manifest in memory. */
  readonly handed: number;
  /** Of projects whose manifest is not held. */
  readonly runs: { readonly pid: number; readonly rssBytes: number }[];
  /** Processes that hold one project's manifest each. */
  readonly holders: {
    readonly pid: number;
    readonly parseState: string;
    readonly isReady: boolean;
    /** What can be computed from it before there is a run is, too. */
    readonly isPrepared: boolean;
    /** The parse state on disk is still the one that it has read. */
    readonly isCurrent: boolean;
    readonly running: number;
    /** A fork that waits for the project's next run; null where there is none now. */
    readonly sparePid: number | null;
    /** What would be free without it and its spare. */
    readonly privateBytes: number;
  }[];
}

export interface WarmParent {
  readonly pid: number | undefined;
  readonly socketPath: string;
  readonly isReady: boolean;
  /** Resolves when it can run dbt; never, where it ends before. */
  readonly ready: Promise<void>;
  /** Resolves when it takes no runs any more; false where it died, true where it was stopped, served or is out of date. */
  readonly retired: Promise<boolean>;
  /** Resolves when it has ended, with the last of what it wrote to stderr. */
  readonly ended: Promise<string>;
  stats(): Promise<WarmParentStats>;
  /** It takes nothing new, and ends with the last of its runs. */
  stop(): void;
}

/** Returns at once; importing dbt takes seconds, and runs may be sent meanwhile. */
export function startWarmParent(options: WarmParentOptions): WarmParent {
  const folder = mkdtempSync(
    join(options.tempFolder.length > LONGEST_FOLDER ? "/tmp" : options.tempFolder, "dbt-warm-"),
  );
  const socketPath = join(folder, "s");
  const empty = join(folder, "empty");
  const logFile = join(folder, "log");
  mkdirSync(empty);
  // dbt reads the nearest of these when it is imported; no one else's is to be found.
  writeFileSync(join(empty, ".env"), "");
  const log = openSync(logFile, "a");
  const child = spawn(options.python, [PROGRAM, "--socket", socketPath, ...flags(options)], {
    cwd: empty,
    env: { ...options.env },
    detached: true,
    stdio: ["pipe", "pipe", log],
  });
  closeSync(log);
  child.stdin?.on("error", () => {});
  const says = hear(child);
  let isReady = false;
  const ready = says("ready").then(() => {
    isReady = true;
  });
  const ended = new Promise<string>((resolve) => {
    const end = (why: string): void => {
      const said = readText(logFile).trimEnd();
      rmSync(folder, { recursive: true, force: true });
      resolve(said === "" ? why : said.slice(-2_000));
    };
    child.once("error", (error) => end(error.message));
    child.once("exit", (code, signal) => end(`it ended with ${signal ?? `exit code ${code}`}`));
  });
  return {
    pid: child.pid,
    socketPath,
    get isReady() {
      return isReady;
    },
    ready,
    retired: Promise.race([says("retired").then(() => true), ended.then(() => false)]),
    ended,
    stats: () => askStats(socketPath),
    stop() {
      child.stdin?.end();
      // It may go on for as long as its runs do, which is not for this program to wait for.
      child.unref();
      if (child.stdout instanceof Socket) child.stdout.unref();
    },
  };
}

function flags({ projects, memoryBytes, forks = process.platform === "linux" }: WarmParentOptions): string[] {
  return ["--projects", String(projects), "--memory", String(memoryBytes), ...(forks ? [] : ["--no-fork"])];
}

/** Resolves when the child has said the word, a line of its stdout. */
function hear(child: ChildProcess): (word: string) => Promise<void> {
  let text = "";
  let check: (() => void)[] = [];
  child.stdout?.setEncoding("utf8");
  child.stdout?.on("data", (chunk: string) => {
    text += chunk;
    for (const each of check) each();
  });
  return (word) =>
    new Promise((resolve) => {
      check = [...check, () => (text.split("\n").includes(word) ? resolve() : undefined)];
    });
}

function askStats(socketPath: string): Promise<WarmParentStats> {
  return new Promise((resolve, reject) => {
    const socket = new Socket();
    let text = "";
    socket.setEncoding("utf8");
    socket.setTimeout(STATS_MS, () => socket.destroy(new Error(`no answer in ${STATS_MS} ms`)));
    socket.on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("error", reject);
    socket.on("close", () => {
      try {
        resolve(JSON.parse(text) as WarmParentStats);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.connect(socketPath, () => socket.write(`${JSON.stringify({ stats: true })}\n`));
  });
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
