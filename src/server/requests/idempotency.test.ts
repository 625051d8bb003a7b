/** One idempotency key is one run, however often and at whatever moment its post is made. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { projectFiles, startService, type TestService } from "../../../test/service-fixture.ts";
import type { RunRequest } from "../../api/schemas/runs.ts";
import type { ErrorAnswer } from "../../api/schemas/server.ts";

/** Nothing is launched: what is posted stays pending. */
const started = (): Promise<TestService> =>
  startService({ started: false, jobPath: join(import.meta.dirname, "../../../test/idle-job.ts") });

const project = (): RunRequest => ({ command: ["run"], files: projectFiles(), workspace: { name: randomUUID() } });

async function refused(server: TestService, payload: RunRequest, headers: Record<string, string>): Promise<string> {
  const answer = await server.send({ method: "POST", url: "/api/v1/runs", payload, headers });
  return answer.json<ErrorAnswer>().error.code;
}

test("the same post, made twice at once, is one run with its envelope, whichever completes it", async (t) => {
  const server = await started();
  t.after(() => server.stop());
  const { records } = server.state;
  const { create } = records;
  const headers = { "idempotency-key": "twice" };
  const body = project();
  let second: ReturnType<TestService["post"]> | undefined;
  // The first holds the key, and has stored its envelope, when the second comes.
  records.create = async <T extends object>(collection: string, id: string, data: T) => {
    if (collection === "runs" && second === undefined) {
      second = server.post(body, headers);
      await second;
    }
    return create.call(records, collection, id, data) as ReturnType<typeof create<T>>;
  };
  const first = await server.post(body, headers);
  records.create = create;
  assert.deepEqual([first.created, (await second)?.created], [false, true]);
  assert.equal((await second)?.run.id, first.run.id);
  assert.match(String((await server.state.envelopes.take(first.run.id))?.["profiles"]), /hunter2/);
});

test("an idempotency key is one run; with another request it is a conflict", async () => {
  const server = await started();
  try {
    const request = project();
    const key = (value: string) => ({ "idempotency-key": value });
    const [first, again] = [
      await server.post(request, key("k")),
      await server.post({ ...request, noWait: true }, key("k")),
    ];
    assert.deepEqual([first.created, again.created], [true, false]);
    assert.equal(first.run.id, again.run.id);
    const together = await Promise.all([1, 2, 3, 4].map(() => server.post(request, key("l"))));
    assert.equal(new Set(together.map(({ run }) => run.id)).size, 1);
    assert.equal(together.filter(({ created }) => created).length, 1);
    assert.equal(await refused(server, { ...request, command: ["build"] }, key("k")), "idempotency_conflict");
    const other = await server.post(
      { ...request, command: ["build"] },
      { ...key("k"), "x-dbt-remote-client": "other" },
    );
    assert.equal(other.created, true);
    assert.equal(await refused(server, request, key("a b")), "bad_request");
  } finally {
    await server.stop();
  }
});
