/** stdout and stderr as dbt-remote uses them: back-pressure respected, closed pipes survived. */
import type { Terminal } from "./context.ts";

export interface Channel {
  /** Resolves when more can be taken. Writes nothing once the reader has gone. */
  write(data: Uint8Array | string): Promise<void>;
  /** Resolves when all has been handed to the system. */
  flush(): Promise<void>;
  readonly isTerminal: boolean;
  readonly columns: number;
}

function channel(stream: Terminal): Channel & { readonly endsLine: () => boolean } {
  let closed = false;
  let atLineStart = true;
  let waiting: (() => void)[] = [];
  const awake = () => {
    for (const wake of waiting) wake();
    waiting = [];
  };
  // Without a listener, a reader that has gone (`| head`) would end the program; dbt's run goes on all the same.
  stream.on("error", () => {
    closed = true;
    awake();
  });
  stream.on("close", () => {
    closed = true;
    awake();
  });
  stream.on("drain", awake);
  const drained = () =>
    new Promise<void>((resolve) => {
      waiting.push(resolve);
    });
  return {
    isTerminal: stream.isTTY === true,
    get columns() {
      return stream.columns || 80; // 0 where a terminal does not know
    },
    endsLine: () => atLineStart,
    write: async (data) => {
      if (closed || data.length === 0) return;
      atLineStart = typeof data === "string" ? data.endsWith("\n") : data.at(-1) === 0x0a;
      if (!stream.write(data)) await drained();
    },
    flush: () =>
      new Promise((resolve) => {
        if (closed) return resolve();
        stream.write("", () => resolve());
        stream.once("error", () => resolve());
      }),
  };
}

export interface Output {
  readonly out: Channel;
  readonly err: Channel;
  /** One of dbt-remote's own short lines, on stderr; nothing when quiet. */
  say(line: string): void;
  /** The same, also when quiet: errors. */
  complain(line: string): void;
  /** A line that replaces the one before it, on a terminal only; empty to take it away. */
  status(line: string): void;
  flush(): Promise<void>;
}

const CLEAR_LINE = "\r\u001b[2K";

export function createOutput(stdout: Terminal, stderr: Terminal, options: { readonly quiet: boolean }): Output {
  const out = channel(stdout);
  const err = channel(stderr);
  let status = "";

  const clear = () => {
    if (status !== "") void err.write(CLEAR_LINE);
    status = "";
  };
  const writing = (to: Channel): Channel => ({
    ...to,
    isTerminal: to.isTerminal,
    write: (data) => {
      clear();
      return to.write(data);
    },
  });
  const line = (text: string) => {
    clear();
    // Both on one terminal: an unfinished line of dbt's is ended first.
    const isGlued = !err.endsLine() || (out.isTerminal && err.isTerminal && !out.endsLine());
    void err.write(`${isGlued ? "\n" : ""}${text}\n`);
  };

  return {
    out: writing(out),
    err: writing(err),
    say: (text) => {
      if (!options.quiet) line(`dbt-remote: ${text}`);
    },
    complain: line,
    status: (text) => {
      if (!err.isTerminal || options.quiet || text === status) return;
      clear();
      if (text !== "") void err.write(text.slice(0, Math.max(0, err.columns - 1)));
      status = text;
    },
    flush: async () => {
      clear();
      await Promise.all([out.flush(), err.flush()]);
    },
  };
}
