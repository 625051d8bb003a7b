/** What the server says about itself: its start on stdout, everything else on stderr. */
import { AppError } from "../core/errors.ts";
import type { ServerSettings } from "./options.ts";

export interface Journal {
  greet(params: { readonly version: string; readonly url: string; readonly settings: ServerSettings }): void;
  say(line: string): void;
  /** A failure that nobody else will report. The same one again and again is said once a minute. */
  failure(error: unknown, requestId?: string): void;
}

const WHO: Readonly<Record<ServerSettings["auth"], string>> = {
  local: "your user on this machine",
  none: "EVERYONE on this machine, without a token (--auth none)",
  token: "whoever has the token",
};

const REPEAT_MS = 60_000;
const REMEMBERED = 100;

export function createJournal(): Journal {
  const said = new Map<string, number>();

  const isRepeated = (text: string): boolean => {
    const last = said.get(text);
    if (last !== undefined && Date.now() - last < REPEAT_MS) return true;
    if (said.size >= REMEMBERED) said.clear();
    said.set(text, Date.now());
    return false;
  };

  return {
    greet({ version, url, settings }) {
      const lines = [
        `dbt-server ${version} on ${url}`,
        `May use it: ${WHO[settings.auth]}.`,
        "Trust: a project's code can read what this account can; whoever may use the server may read and cancel every run.",
        `Data: ${settings.dataDir}`,
      ];
      process.stdout.write(`${lines.join("\n")}\n`);
    },
    say(line) {
      process.stderr.write(`${line}\n`);
    },
    failure(error, requestId) {
      const expected = error instanceof AppError;
      const text = expected ? lines(error) : error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (isRepeated(text)) return;
      process.stderr.write(`dbt-server: ${requestId === undefined ? "" : `request ${requestId}: `}${text}\n`);
    },
  };
}

function lines({ message, hint }: AppError): string {
  return hint === undefined ? message : `${message}\n${hint}`;
}
