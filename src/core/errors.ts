/**
 * Every error that dbt-remote itself can report, with its HTTP status and the CLI's exit code.
 * A failed dbt run is no error: it is a run with an exit code.
 */
export const ERROR_CODES = {
  // the request
  bad_request: { status: 400, exit: 2 },
  bad_argument: { status: 400, exit: 2 },
  bad_project: { status: 400, exit: 2 },
  bad_profile: { status: 400, exit: 2 },
  project_changed: { status: 409, exit: 2 },
  path_outside: { status: 400, exit: 2 },
  unauthorized: { status: 401, exit: 2 },
  forbidden: { status: 403, exit: 2 },
  host_refused: { status: 403, exit: 2 },
  run_not_found: { status: 404, exit: 2 },
  run_ambiguous: { status: 409, exit: 2 },
  artifact_not_found: { status: 404, exit: 2 },
  route_not_found: { status: 404, exit: 2 },
  idempotency_conflict: { status: 409, exit: 2 },
  run_finished: { status: 409, exit: 2 },
  workspace_busy: { status: 409, exit: 2 },
  snapshot_unknown: { status: 409, exit: 2 },
  snapshot_base_unknown: { status: 409, exit: 2 },
  blobs_missing: { status: 409, exit: 2 },
  blob_corrupt: { status: 422, exit: 2 },
  upload_offset: { status: 416, exit: 2 },
  too_large: { status: 413, exit: 2 },
  // the machine
  state_locked: { status: 500, exit: 2 },
  state_schema: { status: 500, exit: 2 },
  state_corrupt: { status: 500, exit: 2 },
  state_unavailable: { status: 503, exit: 2 },
  data_folder: { status: 500, exit: 2 },
  disk_full: { status: 507, exit: 2 },
  port_in_use: { status: 500, exit: 2 },
  node_too_old: { status: 500, exit: 2 },
  dbt_not_found: { status: 503, exit: 2 },
  adapter_not_found: { status: 503, exit: 2 },
  identity_unavailable: { status: 503, exit: 2 },
  server_draining: { status: 503, exit: 2 },
  // the client's view of the server
  server_not_found: { status: 500, exit: 2 },
  server_unreachable: { status: 500, exit: 2 },
  server_untrusted: { status: 500, exit: 2 },
  connection_lost: { status: 500, exit: 75 },
  interrupted: { status: 500, exit: 130 },
  internal: { status: 500, exit: 2 },
} as const satisfies Record<string, { status: number; exit: number }>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface AppErrorOptions {
  /** The exact next step, such as the command to type. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Machine-readable facts that travel with the error, such as the hashes that are missing. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** An expected failure: its message names the value, its hint the next step; printed without a stack. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details;
  }

  /** HTTP status of this error. */
  get status(): number {
    return ERROR_CODES[this.code].status;
  }

  /** Exit code of a CLI that ends with this error. */
  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(ERROR_CODES, value);
}
