/** What may pass is put in the way of each of Google's interfaces, and then left there. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GOOGLE_CASES, wellAnswered } from "../../test/google-cases.ts";
import { type StandInAnswer, startHttpStandIn } from "../../test/http-stand-in.ts";
import { AppError } from "../core/errors.ts";
import { RetryLater, type RetryPolicy, untilItPasses } from "./retry.ts";

const PATIENT: RetryPolicy = { giveUpAfterMs: 10_000, firstPauseMs: 5, maxPauseMs: 10 };
const SHORT: RetryPolicy = { giveUpAfterMs: 400, firstPauseMs: 20, maxPauseMs: 100 };
const error = (status: number, message: string): StandInAnswer => ({
  ...{ status, body: { error: { code: status, message } } },
});
const PASSING: readonly StandInAnswer[] = [
  error(429, "Quota exceeded"),
  error(500, "Internal error"),
  error(503, "The service is currently unavailable"),
  { fault: "reset" },
  { fault: "cut-body", body: { access_token: "x".repeat(100) } },
  { fault: "silence" },
];
const PAGE: StandInAnswer = { body: "<html>Sign in to the network</html>" };

/** Google, where requests of one kind go wrong as `faults` says; undefined: all is well. */
async function google(of: RegExp, fault: (number: number) => StandInAnswer | undefined) {
  let number = 0;
  const server = await startHttpStandIn(({ url }) => {
    if (!of.test(url)) return wellAnswered(url);
    number += 1;
    return fault(number) ?? wellAnswered(url);
  });
  const { host } = new URL(server.url);
  const base = `${server.url}/`;
  const overrides = ["RUN", "IAMCREDENTIALS", "SECRETMANAGER"].map((name) => [
    `CLOUDSDK_API_ENDPOINT_OVERRIDES_${name}`,
    base,
  ]);
  const env = { GCE_METADATA_HOST: host, PATH: "", ...Object.fromEntries(overrides) } as Record<string, string>;
  return { url: server.url, env, close: server.close, attempts: () => number };
}

describe("what may pass is asked again, until it has passed", { concurrency: 8 }, () => {
  for (const { name, of, ask, wanted, isJson } of GOOGLE_CASES) {
    test(name, { timeout: 30_000 }, async (context) => {
      const faults = [...PASSING, ...(isJson ? [PAGE] : [])];
      const { attempts, close, ...given } = await google(of, (number) => faults[number - 1]);
      context.after(close);
      assert.deepEqual(await ask({ ...given, retry: PATIENT }), wanted);
      assert.equal(attempts(), faults.length + 1);
    });
  }
});

describe("what does not pass is an error with the next step, and never an answer", { concurrency: 8 }, () => {
  for (const { name, of, ask, says, isJson } of GOOGLE_CASES) {
    for (const [how, fault] of Object.entries({
      ...{ "503": error(503, "The service is currently unavailable"), reset: { fault: "reset" } as const },
      ...(isJson && { "a page of something in between": PAGE }),
    })) {
      test(`${name}: ${how}`, { timeout: 30_000 }, async (context) => {
        const { attempts, close, ...given } = await google(of, () => fault);
        context.after(close);
        await assert.rejects(ask({ ...given, retry: SHORT }), (problem) => {
          assert.ok(problem instanceof AppError, String(problem));
          assert.ok(["state_unavailable", "identity_unavailable"].includes(problem.code), problem.code);
          assert.match(problem.message, says);
          assert.match(problem.hint ?? "", /status\.cloud\.google\.com/);
          return true;
        });
        assert.ok(attempts() > 1 && attempts() <= 12, `${attempts()} attempts in ${SHORT.giveUpAfterMs} ms`);
      });
    }
  }
});

test("those who failed together do not come back together", async () => {
  const policy = { giveUpAfterMs: 1_000, firstPauseMs: 200, maxPauseMs: 200 };
  const startedAt = performance.now();
  const pauses = await Promise.all(
    Array.from({ length: 20 }, () =>
      untilItPasses(policy, async ({ isRepeat }) => {
        if (!isRepeat) throw new RetryLater(new Error("overloaded"));
        return performance.now() - startedAt;
      }),
    ),
  );
  assert.ok(Math.min(...pauses) >= 99, String(pauses));
  assert.ok(Math.max(...pauses) - Math.min(...pauses) > 20, String(pauses));
});
