/** The wire between a job and a warm parent: the request, the streams of dbt, and word of how it ended. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, Socket } from "node:net";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import type { StartedDbt } from "./dbt-process.ts";
import type { DbtExit, DbtInvocation } from "./port.ts";

export interface WarmRequest {
  /** The parent's socket. The sockets of the run are made beside it: its folder is private, and its path short. */
  readonly socketPath: string;
  readonly invocation: DbtInvocation;
  /** Path of the project's partial_parse.msgpack. */
  readonly parseState: string | null;
  readonly answerMs: number;
  /** dbt took the project's manifest from the parent's memory. */
  readonly onHandedOver: () => void;
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

/** A run that has begun. Rejects, with the reason, where nothing was started and nothing will be. */
export async function startWarmRun(request: WarmRequest): Promise<StartedDbt> {
  const folder = mkdtempSync(join(dirname(request.socketPath), "run-"));
  const control = new Socket();
  const streams: Socket[] = [];
  const servers: Server[] = [];
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${request.answerMs} ms`)), request.answerMs);
    });
    const [stdout, stderr, events] = STREAMS.map((name) => {
      const server = createServer();
      servers.push(server);
      return accept(server, join(folder, name), streams);
    }) as [Promise<Socket>, Promise<Socket>, Promise<Socket>];
    const accepted = Promise.all([stdout, stderr, events]);
    accepted.catch(() => {});
    await Promise.race([Promise.all(servers.map(listening)), late]);
    const { pid, exited } = talk(control, request, folder);
    const [started, [out, err, structured]] = await Promise.race([Promise.all([pid, accepted]), late]);
    // The child waits for this byte: where it does not come, it ends without having run anything.
    out.write("\n");
    return { pid: started, stdout: out, stderr: err, events: structured, exited };
  } catch (error) {
    for (const stream of streams) stream.destroy();
    control.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    for (const server of servers) server.close();
    rmSync(folder, { recursive: true, force: true });
  }
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

function talk(
  control: Socket,
  { socketPath, invocation, parseState, onHandedOver }: WarmRequest,
  folder: string,
): { readonly pid: Promise<number>; readonly exited: Promise<DbtExit> } {
  const sockets = Object.fromEntries(STREAMS.map((name) => [name, join(folder, name)]));
  const { args, cwd, env, manifestPath } = invocation;
  const line = JSON.stringify({ args, cwd, env, manifest: manifestPath ?? null, parseState, ...sockets });
  const connect = (): void => {
    // Given up in between.
    if (!existsSync(folder)) return;
    control.connect(socketPath);
  };
  control.on("connect", () => control.write(`${line}\n`));
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
  connect();
  return { pid: pid.promise, exited: exited.promise };
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
