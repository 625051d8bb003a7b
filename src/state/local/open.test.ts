import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { AppError, type ErrorCode } from "../../core/errors.ts";
import { RECORD_INDEXES } from "../indexes.ts";
import { stateError } from "./errors.ts";
import { lockDataDir } from "./lock.ts";
import { openLocalState } from "./open.ts";
import { listSql } from "./records.ts";
import { SCHEMA_VERSION } from "./schema.ts";

const root = mkdtempSync(join(tmpdir(), "open-"));
after(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
function newDir(): string {
  folders += 1;
  return join(root, `d${folders}`);
}
const open = (dataDir: string) => openLocalState({ dataDir, now: Date.now });

/** An expected error names its value and the next step. */
function failure(code: ErrorCode, ...words: string[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AppError, String(error));
    assert.equal(error.code, code, error.message);
    assert.ok(error.hint !== undefined, "a hint");
    for (const word of words)
      assert.ok(`${error.message} ${error.hint}`.includes(word), `${word} in: ${error.message}`);
    return true;
  };
}

test("a data folder is for its owner only", async () => {
  const dataDir = newDir();
  const state = await open(dataDir);
  await state.records.put("runs", "a", {});
  await state.blobs.put("a/b", Buffer.from("x"));
  await state.envelopes.put("a", {});
  for (const name of ["", "state.db", "state.db-wal", "envelope.key", "envelopes/a", "blobs/a", "blobs/a/b"]) {
    assert.equal(statSync(join(dataDir, name)).mode & 0o077, 0, name);
  }
  await state.close();
  await state.close();
});

test("folders that can't be used", async () => {
  const file = newDir();
  writeFileSync(file, "x");
  await assert.rejects(open(file), failure("data_folder", file, "--data-dir"));
  await assert.rejects(open(join(file, "sub")), failure("data_folder", file));
  await assert.rejects(open("/proc/nowhere"), failure("data_folder", "/proc/nowhere"));
  const readOnly = newDir();
  mkdirSync(readOnly, { mode: 0o500 });
  // Root may write anywhere.
  if (process.getuid?.() !== 0) await assert.rejects(open(readOnly), failure("data_folder", readOnly));
});

test("a database of a newer program is refused, naming both versions", async () => {
  const dataDir = newDir();
  await (await open(dataDir)).close();
  const db = new DatabaseSync(join(dataDir, "state.db"));
  db.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 3}`);
  db.close();
  await assert.rejects(open(dataDir), failure("state_schema", String(SCHEMA_VERSION + 3), String(SCHEMA_VERSION)));
});

test("what is no database of ours is called damaged", async () => {
  const garbage = newDir();
  mkdirSync(garbage);
  writeFileSync(join(garbage, "state.db"), "this is no database".repeat(1000));
  await assert.rejects(open(garbage), failure("state_corrupt", join(garbage, "state.db"), "mv "));
  const foreign = newDir();
  mkdirSync(foreign);
  const db = new DatabaseSync(join(foreign, "state.db"));
  db.exec("CREATE TABLE theirs (x)");
  db.close();
  await assert.rejects(open(foreign), failure("state_corrupt", "another program"));
});

test("a record that is no JSON is named", async () => {
  const dataDir = newDir();
  const state = await open(dataDir);
  await state.records.put("heartbeats", "k", { a: 1 });
  const db = new DatabaseSync(join(dataDir, "state.db"));
  db.exec(`UPDATE records SET data = '{"a":'`);
  db.close();
  await assert.rejects(state.records.get("heartbeats", "k"), failure("state_corrupt", "heartbeats/k"));
  await assert.rejects(state.records.list("heartbeats", { where: { a: 1 } }), failure("state_corrupt", dataDir));
  await state.close();
});

test("a folder opened by many at once is made once", async () => {
  const dataDir = newDir();
  const states = await Promise.all(Array.from({ length: 4 }, () => open(dataDir)));
  await Promise.all(states.map((state, number) => state.records.create("runs", `k${number}`, { number })));
  assert.equal((await states[0]?.records.list("runs"))?.length, 4);
  for (const state of states) await state.close();
});

test("every declared query is served by an index", async () => {
  const dataDir = newDir();
  await (await open(dataDir)).close();
  const db = new DatabaseSync(join(dataDir, "state.db"));
  for (const { collection, fields } of RECORD_INDEXES) {
    const orderBy = fields.at(-1);
    const where = Object.fromEntries(fields.slice(0, -1).map((field) => [field, "x"]));
    const { sql, values } = listSql(collection, {
      where,
      direction: "descending",
      after: 1,
      limit: 5,
      ...(orderBy !== undefined && { orderBy }),
    });
    const plan = db
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all(...values)
      .map(({ detail }) => String(detail));
    assert.ok(
      plan.some((step) => step.includes(`${collection}:${fields.join(",")}`)),
      `${sql}: ${plan.join("; ")}`,
    );
    assert.ok(!plan.some((step) => step.includes("TEMP B-TREE")), plan.join("; "));
  }
  db.close();
});

test("a key that others can read is refused", async () => {
  const dataDir = newDir();
  const state = await open(dataDir);
  await state.envelopes.put("a", { secret: "s3cret" });
  assert.ok(!readFileSync(join(dataDir, "envelopes", "a")).includes("s3cret"));
  chmodSync(join(dataDir, "envelope.key"), 0o644);
  const again = await open(dataDir);
  await assert.rejects(again.envelopes.take("a"), failure("data_folder", "chmod 600"));
  chmodSync(join(dataDir, "envelope.key"), 0o600);
  writeFileSync(join(dataDir, "envelope.key"), Buffer.alloc(32));
  const third = await open(dataDir);
  await assert.rejects(third.envelopes.take("a"), failure("state_corrupt"));
  for (const opened of [state, again, third]) await opened.close();
});

test("a second server on a data folder is refused with the holder's pid and address", () => {
  const dataDir = newDir();
  const lock = lockDataDir(dataDir, process.pid);
  assert.throws(() => lockDataDir(dataDir, 1), failure("state_locked", dataDir, String(process.pid)));
  lock.describe("http://127.0.0.1:8001");
  assert.throws(() => lockDataDir(dataDir, 1), failure("state_locked", "http://127.0.0.1:8001"));
  lock.release();
  lock.release();
  assert.ok(!existsSync(join(dataDir, "server.json")));
  lockDataDir(dataDir, process.pid).release();
});

test("a lock holds though nobody keeps what it returned; that of a killed server is free at once", async (context) => {
  const dataDir = newDir();
  const source = `
    const { lockDataDir } = await import(${JSON.stringify(new URL("lock.ts", import.meta.url).href)});
    lockDataDir(${JSON.stringify(dataDir)}, process.pid);
    // What nothing refers to any more is finalised in a later turn.
    for (let turn = 0; turn < 3; turn += 1) {
      gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    console.log("locked");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--expose-gc", "--input-type=module", "-e", source], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  context.after(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  assert.throws(() => lockDataDir(dataDir, process.pid), failure("state_locked", `kill ${child.pid}`));
  child.kill("SIGKILL");
  await once(child, "close");
  lockDataDir(dataDir, process.pid).release();
});

test("a full disk is called that", () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  assert.throws(
    () => {
      throw stateError(full, "writing a log", "/data");
    },
    failure("disk_full", "/data", "gc"),
  );
  const sqlite = Object.assign(new Error("database or disk is full"), { code: "ERR_SQLITE_ERROR", errcode: 13 });
  assert.equal(stateError(sqlite, "writing", "/data").code, "disk_full");
});
