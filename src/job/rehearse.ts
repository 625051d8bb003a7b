/**
 * What a program does for the first time takes it many times as long: it has to be compiled. One that waits for its run
 * does on something small what every run needs, and forgets it.
 */
import { createDecipheriv, createHash } from "node:crypto";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parseDbtArgv } from "../core/dbt-argv.ts";
import { EMPTY_ENVELOPE } from "../core/envelope.ts";
import { createScrubber } from "../core/scrub.ts";
import { secretsOf } from "../core/secrets.ts";
import { packStream } from "../snapshot/pack.ts";
import { parseProfiles } from "./run-environment.ts";

const PROFILES = `one:
  target: dev
  outputs:
    dev:
      type: none
      path: one.db
      threads: 1
      list: [1, "two", {three: ~}]
`;

const ROUNDS = 3;

export async function rehearse(): Promise<void> {
  // OpenSSL looks for an algorithm when it is first asked for.
  createHash("sha256").update("one").digest("hex");
  createDecipheriv("aes-256-gcm", Buffer.alloc(32), Buffer.alloc(12)).update(Buffer.alloc(64));
  for (let round = 0; round < ROUNDS; round += 1) {
    const profiles = parseProfiles(PROFILES);
    const secrets = secretsOf({ envelope: { ...EMPTY_ENVELOPE, env: { DBT_ENV_SECRET_A: "one" } }, env: {}, profiles });
    const scrubber = createScrubber(secrets);
    scrubber.push(Buffer.from("two\n"));
    scrubber.flush();
    parseDbtArgv(["run", "--select", "one", "--vars", "{a: 1}"]);
    const content = Buffer.alloc(4096, "a");
    const input = { path: "one", mode: "100644", size: content.length, mtimeMs: 0, content } as const;
    const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
    await pipeline(packStream([input], { level: 2 }).stream, nowhere);
  }
}
