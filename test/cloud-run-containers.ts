/** The containers of the stand-in for Cloud Run: processes with nothing but their container's environment and a folder of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { leftovers } from "./programs.ts";

/** What an image brings along. */
export interface ContainerImage {
  /** What its programs are on this machine, by name. */
  readonly programs: Readonly<Record<string, readonly string[]>>;
  /** Its own variables; `folder` is what stands for the container's file system. */
  env(folder: string): Readonly<Record<string, string>>;
}

export interface ContainerStart {
  readonly image: ContainerImage;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** Why a container is no more. */
export interface ContainerEnd {
  readonly exitCode: number | null;
  /** Its number. */
  readonly signal: number | null;
  readonly cause: "itself" | "cancelled" | "timeout" | "memory" | "instance";
}

export interface Container {
  readonly pid: number;
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** What its program printed. */
  output(): string;
  /** SIGTERM, and ten seconds later SIGKILL. */
  stop(cause: "cancelled" | "timeout"): void;
  /** At once, without a word. */
  kill(cause: "memory" | "instance"): void;
  readonly ended: Promise<ContainerEnd>;
}

const KILLED_AFTER_MS = 10_000;
const running = new Set<number>();

/** A folder that no running container has, the same one again and again where they run one after the other. */
function takeSlot(root: string): { readonly number: number; readonly folder: string } {
  let number = 1;
  while (running.has(number)) number += 1;
  running.add(number);
  const folder = join(root, `container-${number}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return { number, folder };
}

export function startContainer(root: string, { image, command, env: own, timeoutMs }: ContainerStart): Container {
  const slot = takeSlot(root);
  const [name = "", ...args] = command;
  const [program = name, ...before] = image.programs[name] ?? [name];
  const env = { ...image.env(slot.folder), ...own };
  const child: ChildProcess = spawn(program, [...before, ...args], {
    cwd: slot.folder,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
    });
  }
  let cause: ContainerEnd["cause"] = "itself";
  const killAll = (): void => {
    child.kill("SIGKILL");
    for (const pid of leftovers(slot.folder)) killIfThere(pid);
  };
  const stop = (why: "cancelled" | "timeout"): void => {
    if (cause !== "itself" || child.exitCode !== null) return;
    cause = why;
    child.kill("SIGTERM");
    setTimeout(killAll, KILLED_AFTER_MS).unref();
  };
  const timer = setTimeout(() => stop("timeout"), timeoutMs);
  timer.unref();
  const ended = new Promise<ContainerEnd>((resolve) => {
    child.once("exit", (exitCode, signal) => {
      clearTimeout(timer);
      // What the main process leaves behind goes with its container.
      for (const pid of leftovers(slot.folder)) killIfThere(pid);
      running.delete(slot.number);
      resolve({ exitCode, signal: signal === null ? null : constants.signals[signal], cause });
    });
    child.once("error", () => {
      running.delete(slot.number);
      resolve({ exitCode: 127, signal: null, cause: "itself" });
    });
  });
  return {
    pid: child.pid ?? -1,
    folder: slot.folder,
    env,
    output: () => printed,
    stop,
    kill(why) {
      cause = why;
      killAll();
    },
    ended,
  };
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It is gone already.
  }
}
