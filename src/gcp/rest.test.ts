import assert from "node:assert/strict";
import { test } from "node:test";
import { type HttpStandIn, type StandInAnswer, startHttpStandIn } from "../../test/http-stand-in.ts";
import { AppError, type ErrorCode } from "../core/errors.ts";
import type { AccessTokens } from "./auth.ts";
import { createRest, type RestParams } from "./rest.ts";

const retry = { giveUpAfterMs: 5_000, firstPauseMs: 5, maxPauseMs: 20 };
const CALL = { method: "GET", doing: "looking at x", needs: "roles/x.y on z", timeoutMs: 200 } as const;

/** Answers what the list says, one request after the other; the last one again and again. */
async function withServer(
  answers: readonly StandInAnswer[],
  body: (server: HttpStandIn) => Promise<void>,
): Promise<void> {
  const server = await startHttpStandIn((_, number) => answers[Math.min(number, answers.length) - 1] ?? {});
  try {
    await body(server);
  } finally {
    await server.close();
  }
}

function call(server: HttpStandIn, params: RestParams = {}, answers: number[] = []) {
  return createRest({ retry, ...params }).request({ ...CALL, url: `${server.url}/x`, answers });
}

const failsWith = (code: ErrorCode, pattern: RegExp, hint = /./) => {
  return (error: unknown) => {
    assert.ok(error instanceof AppError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    assert.match(error.hint ?? "-", hint);
    return true;
  };
};

const google = (status: number, message: string, reason: string): StandInAnswer => ({
  ...{ status, body: { error: { code: status, message, errors: [{ message, reason }] } } },
});

test("what may pass is repeated: overload, failures, resets, answers cut short, silence", async () => {
  const passing: StandInAnswer[] = [
    ...[429, 500, 502, 503, 504, 408].map((status) => ({ status })),
    google(403, "slow down", "userRateLimitExceeded"),
    { fault: "reset" },
    { fault: "cut-body", body: { a: "x".repeat(1000) } },
    { fault: "silence" },
  ];
  await withServer([...passing, { body: { a: 1 } }], async (server) => {
    const answer = await call(server, {}, [404]);
    assert.deepEqual(answer.json(), { a: 1 });
    assert.equal(answer.isRepeat, true);
    assert.equal(server.seen.length, passing.length + 1);
  });
});

test("what does not pass is reported as what it was, and never as absence", async () => {
  const short = { retry: { ...retry, giveUpAfterMs: 50 } };
  await withServer([{ status: 503, body: "try later" }], async (server) => {
    await assert.rejects(
      call(server, short, [404]),
      failsWith("state_unavailable", /looking at x with 503: try later/),
    );
  });
  await withServer([{ fault: "reset" }], async (server) => {
    await assert.rejects(call(server, short, [404]), failsWith("state_unavailable", /could not be reached/));
  });
  await withServer([google(400, "bad name", "invalid")], async (server) => {
    await assert.rejects(call(server), failsWith("state_unavailable", /400: bad name/));
    assert.equal(server.seen.length, 1);
  });
});

test("answers that the caller knows are answers", async () => {
  await withServer([{ status: 404 }, { status: 412 }, { status: 204 }], async (server) => {
    for (const status of [404, 412, 204]) assert.equal((await call(server, {}, [404, 412])).status, status);
    assert.equal(server.seen.length, 3);
  });
});

test("a refusal names the role that is missing", async () => {
  await withServer([google(403, "no storage.objects.get access", "forbidden")], async (server) => {
    await assert.rejects(call(server), failsWith("forbidden", /no storage.objects.get/, /roles\/x\.y on z/));
    assert.equal(server.seen.length, 1);
  });
});

test("a token that is no longer accepted is renewed, once", async () => {
  let made = 0;
  const tokens: AccessTokens = {
    get: async () => `token-${made}`,
    renew() {
      made += 1;
      return made < 2;
    },
  };
  await withServer([{ status: 401 }, { body: {} }], async (server) => {
    await call(server, { tokens });
    assert.deepEqual(
      server.seen.map(({ headers }) => headers["authorization"]),
      ["Bearer token-0", "Bearer token-1"],
    );
  });
  await withServer([{ status: 401 }], async (server) => {
    await assert.rejects(call(server, { tokens }), failsWith("state_unavailable", /credentials/, /gcloud auth/));
    assert.equal(server.seen.length, 1);
  });
});

test("Google's own pause counts where it is longer", async () => {
  await withServer([{ status: 429, headers: { "retry-after": "1" } }, { body: {} }], async (server) => {
    const startedAtMs = performance.now();
    await call(server);
    assert.ok(performance.now() - startedAtMs >= 990);
  });
});
