/** The one place where failures of the file system and of SQLite become errors that a user can act on. */
import { AppError } from "../../core/errors.ts";

const FULL = new Set(["ENOSPC", "EDQUOT"]);
const FOLDER = new Set(["EACCES", "EPERM", "EROFS", "ENOTDIR", "ENOENT", "EISDIR", "ELOOP", "ENAMETOOLONG"]);
/** Primary result codes of SQLite. */
const SQLITE = {
  busy: 5,
  locked: 6,
  readonly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cantOpen: 14,
  notADatabase: 26,
} as const;

interface SystemError {
  readonly code: string | undefined;
  readonly errcode: number | undefined;
  readonly message: string;
}

function facts(error: unknown): SystemError {
  const { code, errcode } = (typeof error === "object" && error !== null ? error : {}) as Record<string, unknown>;
  return {
    code: typeof code === "string" ? code : undefined,
    // The low byte is the primary code.
    errcode: typeof errcode === "number" ? errcode & 0xff : undefined,
    message: error instanceof Error ? error.message : String(error),
  };
}

/** Whether a file operation failed with this code. */
export function hasCode(error: unknown, code: string): boolean {
  return facts(error).code === code;
}

/** What a damaged part of State is called, with the way out. */
export function corrupt(path: string, what: string, cause?: unknown): AppError {
  return new AppError("state_corrupt", `The state in ${path} is damaged: ${what}.`, {
    hint: `Restore ${path} from a backup, or move it away to start afresh: mv '${path}' '${path}.damaged'`,
    cause,
  });
}

/** Translates whatever `doing` something at `path` threw. */
export function stateError(error: unknown, doing: string, path: string): AppError {
  if (error instanceof AppError) return error;
  const { code, errcode, message } = facts(error);
  if (errcode === SQLITE.full || (code !== undefined && FULL.has(code))) {
    return new AppError("disk_full", `No space left while ${doing} in ${path}.`, {
      hint: `Free space on the disk of ${path}, for example with: dbt-server gc`,
      cause: error,
    });
  }
  if (errcode === SQLITE.corrupt || errcode === SQLITE.notADatabase || message.includes("malformed JSON")) {
    return corrupt(path, message, error);
  }
  if (errcode === SQLITE.busy || errcode === SQLITE.locked) {
    return new AppError("state_unavailable", `The state in ${path} is busy: ${message}.`, {
      hint: `Another program holds it; try again, or look for it with: fuser -v '${path}'`,
      cause: error,
    });
  }
  if (errcode === SQLITE.readonly || errcode === SQLITE.cantOpen || (code !== undefined && FOLDER.has(code))) {
    return new AppError("data_folder", `The data folder can't be used: ${doing} in ${path} failed: ${message}.`, {
      hint: "Make it a folder that you may write to, or name another one with --data-dir.",
      cause: error,
    });
  }
  return new AppError("state_unavailable", `The state failed while ${doing} in ${path}: ${message}.`, { cause: error });
}

/** Runs an action of a backend so that it can only fail with an `AppError`. */
export async function atEdge<T>(doing: string, path: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw stateError(error, doing, path);
  }
}
