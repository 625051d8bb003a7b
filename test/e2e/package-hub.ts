/** A package hub for `dbt deps`, and other places that packages come from: of the tests' own making, on loopback. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, dirname, join } from "node:path";
import { tempFolder } from "../harness.ts";
import { writeFiles } from "./written-project.ts";

export interface PackageHub {
  /** For `DBT_PACKAGE_HUB_URL`. */
  readonly url: string;
  /** Of an archive for `tarball:`. */
  readonly tarballUrl: string;
  /** Of a git repository that wants a name and a password. */
  readonly lockedUrl: string;
  /** Paths that were asked for. */
  readonly requests: readonly string[];
  close(): void;
}

/** The files of a package with one macro, which prints the package's name. */
export function packageFiles(name: string): Record<string, string> {
  return {
    "dbt_project.yml": `name: ${name}\nversion: "1.0.0"\n`,
    "macros/hello.sql": `{% macro hello_${name}() %}{% do print('hello from ${name}') %}{% endmacro %}\n`,
  };
}

function archive(name: string): Buffer {
  const folder = writeFiles(packageFiles(name), join(tempFolder("package"), `${name}-1.0.0`));
  const file = join(dirname(folder), "package.tgz");
  execFileSync("tar", ["-czf", file, "-C", dirname(folder), basename(folder)]);
  return readFileSync(file);
}

/** Makes a repository with one package; its URL for `git:`. */
export function gitPackage(name: string): string {
  const folder = writeFiles(packageFiles(name), tempFolder("repository"));
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.test", "-C", folder, ...args], {
      stdio: "pipe",
    });
  git("init", "--quiet", "--initial-branch=main");
  git("add", ".");
  git("commit", "--quiet", "--message=first");
  git("tag", "1.0.0");
  return `file://${folder}`;
}

/** Serves one package, `acme/hubbed`, as dbt's hub would. */
export async function startHub(): Promise<PackageHub> {
  const requests: string[] = [];
  const [hubbed, packed] = [archive("hubbed"), archive("packed")];
  const server: Server = createServer((request, response) => {
    const path = request.url ?? "";
    requests.push(path);
    const json = (value: unknown) =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
    if (path === "/api/v1/index.json") return json(["acme/hubbed"]);
    if (path === "/api/v1/acme/hubbed.json") {
      const version = {
        id: "acme/hubbed/1.0.0",
        name: "hubbed",
        version: "1.0.0",
        packages: [],
        downloads: { tarball: `${url()}hubbed.tgz` },
      };
      return json({ name: "hubbed", namespace: "acme", latest: "1.0.0", versions: { "1.0.0": version } });
    }
    if (path === "/hubbed.tgz") return response.end(hubbed);
    if (path === "/packed.tgz") return response.end(packed);
    if (path.startsWith("/locked.git"))
      return response.writeHead(401, { "www-authenticate": 'Basic realm="locked"' }).end();
    return response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    url: url(),
    tarballUrl: `${url()}packed.tgz`,
    lockedUrl: `${url()}locked.git`,
    requests,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
