import assert from "node:assert/strict";
import { test } from "node:test";
import { append, aRun, patience } from "../../../test/log-service.ts";
import { startService } from "../../../test/service-fixture.ts";
import type { LogAnswer } from "../../api/schemas/logs.ts";

test("JSON waits for more, plain text is the bytes, and a pending answer ends with the run", async () => {
  const server = await startService({ patience });
  try {
    const { runId, writer, finish } = await aRun(server);
    const url = `/api/v1/runs/${runId}/log`;
    const ask = async (query: string) => (await server.send({ url: `${url}?${query}` })).json<LogAnswer>();
    const empty = await ask("waitMs=50");
    assert.deepEqual([empty.segments, empty.nextOffset, empty.finalOffset], [[], 0, null]);
    const waiting = ask("waitMs=20000");
    await append(writer, "first\n");
    assert.equal(Buffer.from((await waiting).segments[0]?.bytes ?? "", "base64").toString(), "first\n");
    const part = await ask("offset=2&maxBytes=3");
    assert.equal(Buffer.from(part.segments[0]?.bytes ?? "", "base64").toString(), "rst");
    const last = ask("offset=6&waitMs=20000");
    await finish();
    await last;
    const done = await ask("offset=14&waitMs=20000");
    assert.equal(done.finalOffset, 14);
    assert.equal(done.run.status, "success");
    const text = await server.send({ url: `${url}?offset=1`, headers: { accept: "text/plain" } });
    assert.equal(text.body, "irst\nEND JOB\n");
    assert.match(String(text.headers["content-type"]), /^text\/plain/);
    assert.equal((await ask("offset=999999999")).finalOffset, 14);
  } finally {
    await server.stop();
  }
});
