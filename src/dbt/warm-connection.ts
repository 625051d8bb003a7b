/** The wire between a job and a warm parent: a run is announced, then begun; its streams, and word of how it ended. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, Socket } from "node:net";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import type { StartedDbt } from "./dbt-process.ts";
import type { DbtExit, DbtInvocation } from "./port.ts";

export interface Announcement {
  /** The parent's socket. The sockets of the run are made beside it: its folder is private, and its path short. */
  readonly socketPath: string;
  /** Path of the project's partial_parse.msgpack. */
  readonly parseState: string | null;
  /** dbt took the project's manifest from the parent's memory. */
  readonly onHandedOver: () => void;
}

/** A process that waits for its run. */
export interface AnnouncedRun {
  /** Rejects, with the reason, where nothing was started and nothing will be. To be called once. */
  start(invocation: DbtInvocation, answerMs: number): Promise<StartedDbt>;
  /** Where it is not to begin: nothing is left. */
  cancel(): void;
}

interface Message {
  readonly pid?: number;
  readonly error?: string;
  readonly handedOver?: boolean;
  readonly ending?: number;
  readonly exit?: number;
  readonly signal?: number;
}

const RETRY_MS = 20;
const STREAMS = ["stdout", "stderr", "events"] as const;

/** Asks the parent for a process. It ends, if it is never started, with this one's connection. */
export function announceWarmRun(announcement: Announcement): AnnouncedRun {
  const folder = mkdtempSync(join(dirname(announcement.socketPath), "run-"));
  const control = new Socket();
  const streams: Socket[] = [];
  const servers: Server[] = [];
  const [stdout, stderr, events] = STREAMS.map((name) => {
    const server = createServer();
    servers.push(server);
    return accept(server, join(folder, name), streams);
  }) as [Promise<Socket>, Promise<Socket>, Promise<Socket>];
  const accepted = Promise.all([stdout, stderr, events]);
  const talk = converse(control, announcement, folder);
  const announced = Promise.all(servers.map(listening)).then(talk.connect);
  for (const promise of [accepted, announced, talk.pid]) promise.catch(() => {});
  const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", removeFolder);

  const close = (): void => {
    for (const server of servers) server.close();
    removeFolder();
    process.off("exit", removeFolder);
  };
  const cancel = (): void => {
    for (const stream of streams) stream.destroy();
    control.destroy();
    close();
  };

  return {
    cancel,
    async start({ args, cwd, env, manifestPath }, answerMs) {
      let timer: NodeJS.Timeout | undefined;
      try {
        const late = new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new Error(`no answer in ${answerMs} ms`)), answerMs);
        });
        await Promise.race([announced, talk.pid, late]);
        control.write(`${JSON.stringify({ args, cwd, env, manifest: manifestPath ?? null })}\n`);
        const [pid, [out, err, structured]] = await Promise.race([Promise.all([talk.pid, accepted]), late]);
        // The child waits for this byte: where it does not come, it ends without having run anything.
        out.write("\n");
        close();
        return { pid, stdout: out, stderr: err, events: structured, exited: talk.exited };
      } catch (error) {
        cancel();
        throw error;
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** The first to connect; there is one only. */
function accept(server: Server, path: string, into: Socket[]): Promise<Socket> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("connection", (socket) => {
      socket.on("error", () => {});
      into.push(socket);
      resolve(socket);
    });
    server.listen(path);
  });
}

function listening(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", reject);
  });
}

interface Conversation {
  /** Resolves when the run is announced. */
  connect(): Promise<void>;
  readonly pid: Promise<number>;
  readonly exited: Promise<DbtExit>;
}

function converse(
  control: Socket,
  { socketPath, parseState, onHandedOver }: Announcement,
  folder: string,
): Conversation {
  const sockets = Object.fromEntries(STREAMS.map((name) => [name, join(folder, name)]));
  const connect = (): void => {
    // Given up in between.
    if (!existsSync(folder)) return;
    control.connect(socketPath);
  };
  const connected = deferred<void>();
  control.on("connect", () => {
    control.write(`${JSON.stringify({ parseState, ...sockets })}\n`);
    connected.resolve();
  });
  const pid = deferred<number>();
  const exited = deferred<DbtExit>();
  const hear = (message: Message): void => {
    if (message.error !== undefined) pid.reject(new Error(message.error));
    if (message.pid !== undefined) pid.resolve(message.pid);
    if (message.handedOver === true) onHandedOver();
    // The parent tells it, too, once the kernel has taken the child apart; of a death by signal it alone can.
    if (message.ending !== undefined) exited.resolve({ code: message.ending, signal: null });
    if (message.exit !== undefined) exited.resolve({ code: message.exit, signal: null });
    if (message.signal !== undefined) exited.resolve({ code: null, signal: signalName(message.signal) });
  };
  let received = "";
  control.setEncoding("utf8");
  control.on("data", (chunk: string) => {
    const lines = `${received}${chunk}`.split("\n");
    received = lines.pop() ?? "";
    for (const line of lines) hear(JSON.parse(line) as Message);
  });
  let failure: NodeJS.ErrnoException | undefined;
  control.on("error", (error) => {
    failure = error;
  });
  control.on("close", () => {
    // A parent that was started a moment ago makes its socket first; one that has ended leaves no folder either.
    if (failure?.code === "ENOENT" && existsSync(folder)) {
      failure = undefined;
      setTimeout(connect, RETRY_MS);
      return;
    }
    if (failure !== undefined) pid.reject(failure);
    pid.reject(new Error("the warm parent ended"));
    exited.resolve({ code: null, signal: "SIGKILL" });
  });
  const begin = (): Promise<void> => {
    connect();
    return connected.promise;
  };
  return { connect: begin, pid: pid.promise, exited: exited.promise };
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: Error) => void;
}

function deferred<T>(): Deferred<T> {
  let settle: Omit<Deferred<T>, "promise"> = { resolve: () => {}, reject: () => {} };
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...settle };
}

function signalName(number: number): NodeJS.Signals {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return (found?.[0] ?? "SIGKILL") as NodeJS.Signals;
}
