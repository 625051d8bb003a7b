/** A dbt-server on a small disk of its own, which can be filled: a mount that only its processes see, and that goes with them. */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { freePort, node, type Program, program, start, type TestServer, tempFolder, until } from "../harness.ts";
import { python } from "../programs.ts";

const unshare = process.getuid?.() === 0 ? ["-m"] : ["-rm"];

/** Whether this machine lets a test mount something for itself. */
export function canMountSmallDisk(): boolean {
  return spawnSync("unshare", [...unshare, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], { stdio: "ignore" }).status === 0;
}

export interface SmallDisk {
  /** Where it is mounted: the server's data folder. */
  readonly folder: string;
  readonly megabytes: number;
  readonly isReadOnly?: boolean;
}

interface OnDisk extends SmallDisk {
  readonly home?: string;
  readonly port?: number;
}

/** Starts dbt-server there, without waiting for it to listen. */
export function startOnSmallDisk({ folder, megabytes, isReadOnly, home, port = 0 }: OnDisk): Program {
  const options = `size=${megabytes}m,mode=700${isReadOnly ? ",ro" : ""}`;
  const script = `mount -t tmpfs -o ${options} tmpfs "$0" && exec "$@"`;
  const server = [node, program("server"), "--port", String(port), "--data-dir", folder, "--python", python];
  return start("unshare", [...unshare, "sh", "-c", script, folder, ...server], {
    home: home ?? tempFolder("home"),
    timeoutMs: 3_600_000,
  });
}

export interface ServerOnSmallDisk extends TestServer {
  /** Leaves no byte free. */
  fill(): void;
  /** Takes away again what `fill` has written. */
  empty(): void;
}

export async function startServerOnSmallDisk(disk: SmallDisk): Promise<ServerOnSmallDisk> {
  const home = tempFolder("home");
  const port = await freePort();
  const server = startOnSmallDisk({ ...disk, home, port });
  const url = `http://127.0.0.1:${port}`;
  await until("dbt-server on a small disk", async () => (await fetch(`${url}/check`).catch(() => undefined))?.ok);
  // The server's own view of its files.
  const filler = join("/proc", String(server.pid), "root", disk.folder, "filler");
  return {
    ...server,
    ...{ url, port, dataDir: disk.folder, home },
    stop() {
      server.kill("SIGTERM");
      const timer = setTimeout(() => server.kill("SIGKILL"), 15_000);
      return server.done.finally(() => clearTimeout(timer));
    },
    fill() {
      const file = openSync(filler, "a");
      for (let size = 1024 * 1024; size >= 1; ) {
        try {
          writeSync(file, Buffer.alloc(size));
        } catch {
          size = Math.floor(size / 2);
        }
      }
      closeSync(file);
    },
    empty: () => rmSync(filler, { force: true }),
  };
}
