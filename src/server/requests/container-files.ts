/** Refuses, before anything is launched, a connection that names files which a container on Cloud Run does not have. */
import { isAbsolute } from "node:path";
import type { NamedFile } from "../../core/dbt-connection.ts";
import { AppError } from "../../core/errors.ts";
import { PROFILES } from "../../core/placeholders.ts";
import type { Run } from "../../core/run.ts";

export interface ConnectionFiles extends Pick<Run, "verb" | "profileFrom"> {
  readonly jobProfile: string | null;
  /** Key and certificate files of the connection in use. */
  readonly files: readonly NamedFile[];
  /** Its database files. */
  readonly warehouseFiles: readonly string[];
}

export interface Container {
  /** Whether the image has this file: server and jobs share it. */
  readonly hasFile: (path: string) => boolean;
  /** Folders that are mounted into the job's container, such as secrets or network storage. */
  readonly mounts: (jobProfile: string | null) => Promise<readonly string[]>;
}

/** These open no connection. */
const WITHOUT_CONNECTION: ReadonlySet<string> = new Set(["", "deps", "clean", "parse", "ls", "list"]);

/** Throws `bad_profile` with what to do instead. */
export async function refuseFilesOfElsewhere(connection: ConnectionFiles, container: Container): Promise<void> {
  const { verb, profileFrom, files, warehouseFiles, jobProfile } = connection;
  if (WITHOUT_CONNECTION.has(verb)) return;
  // The server's own profile was made for the container.
  const suspects =
    profileFrom === "client" ? files.filter(({ path }) => !isSent(path) && !container.hasFile(path)) : [];
  if (suspects.length === 0 && warehouseFiles.length === 0) return;
  const mounts = await container.mounts(jobProfile);
  const isMounted = (path: string): boolean =>
    isAbsolute(path) && mounts.some((mount) => path.startsWith(`${mount.replace(/\/+$/, "")}/`));
  const file = suspects.find(({ path }) => !isMounted(path));
  if (file !== undefined) {
    throw new AppError(
      "bad_profile",
      `The profile's ${file.field} is ${file.path}, a file that jobs on Cloud Run do not have.`,
      {
        hint: "Send it with --send-keyfile; or use method: oauth, which is the job's own service account; or mount it as a secret into the Job.",
      },
    );
  }
  const warehouse = warehouseFiles.find((path) => !isMounted(path));
  if (warehouse === undefined) return;
  throw new AppError(
    "bad_profile",
    `The profile's warehouse is the file ${warehouse}, and what a job writes into its container on Cloud Run is gone with it.`,
    { hint: "Use a target whose warehouse is a service, or a dbt-server with --executor local." },
  );
}

const isSent = (path: string): boolean => path.startsWith(`${PROFILES}/`);
