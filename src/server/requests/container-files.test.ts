import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConnectionFiles, refuseFilesOfElsewhere } from "./container-files.ts";

const container = {
  hasFile: (path: string) => path === "/etc/ssl/certs/ca-certificates.crt",
  mounts: async () => ["/secrets", "/warehouse/"],
};
const check = (changes: Partial<ConnectionFiles>) =>
  refuseFilesOfElsewhere(
    { verb: "run", profileFrom: "client", jobProfile: null, files: [], warehouseFiles: [], ...changes },
    container,
  );
const keyfile = (path: string) => [{ field: "keyfile", path }];

test("a file that a container has is taken: sent along, in the image, mounted; others are refused with what to do", async () => {
  await check({});
  for (const path of ["@profiles/0-key.json", "/etc/ssl/certs/ca-certificates.crt", "/secrets/key.json"]) {
    await check({ files: keyfile(path) });
  }
  for (const path of ["/home/ada/key.json", "key.json", "/secretskey.json", "~/key.json"]) {
    await assert.rejects(check({ files: keyfile(path) }), {
      code: "bad_profile",
      hint: /--send-keyfile.*method: oauth/,
    });
  }
  await check({ files: keyfile("/home/ada/key.json"), profileFrom: "server" });
});

test("a warehouse in the container is refused, one in mounted storage is not; who opens none may run", async () => {
  await check({ warehouseFiles: ["/warehouse/shop.duckdb"] });
  for (const path of ["shop.duckdb", "/tmp/shop.duckdb"]) {
    await assert.rejects(check({ warehouseFiles: [path] }), { code: "bad_profile", hint: /--executor local/ });
    await assert.rejects(check({ warehouseFiles: [path], profileFrom: "server" }), { code: "bad_profile" });
  }
  for (const verb of ["parse", "ls", "deps", "clean"]) await check({ verb, warehouseFiles: ["shop.duckdb"] });
});
