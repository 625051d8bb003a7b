import assert from "node:assert/strict";
import { test } from "node:test";
import { type SeenRequest, type StandInAnswer, startHttpStandIn } from "../../test/http-stand-in.ts";
import { connectSecretManager, type ReadSecret } from "./secret-manager.ts";

const retry = { giveUpAfterMs: 2_000, firstPauseMs: 5, maxPauseMs: 10 };

async function withSecrets(
  answer: (request: SeenRequest, number: number) => StandInAnswer,
  body: (read: ReadSecret, seen: readonly SeenRequest[]) => Promise<void>,
  projectId: string | undefined = "p",
): Promise<void> {
  const google = await startHttpStandIn(answer);
  const env = { CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: `${google.url}/` };
  try {
    await body(connectSecretManager({ projectId, env, home: "/nonexistent", now: Date.now, retry }), google.seen);
  } finally {
    await google.close();
  }
}

const payload = (text: string): StandInAnswer => ({
  body: { payload: { data: Buffer.from(text).toString("base64") } },
});

test("a secret is read by its id or its full name, in its latest version or the one that is named", async () => {
  await withSecrets(
    () => payload("ünter uns\n"),
    async (read, seen) => {
      assert.equal(await read("profiles"), "ünter uns\n");
      await read("profiles/versions/7");
      await read("projects/other/secrets/profiles");
      await read("projects/other/secrets/profiles/versions/latest");
      assert.deepEqual(
        seen.map(({ url }) => url),
        [
          "/v1/projects/p/secrets/profiles/versions/latest:access",
          "/v1/projects/p/secrets/profiles/versions/7:access",
          "/v1/projects/other/secrets/profiles/versions/latest:access",
          "/v1/projects/other/secrets/profiles/versions/latest:access",
        ],
      );
    },
  );
});

test("what fails for a moment is asked for again; what is not there or not allowed is said with the cure", async () => {
  await withSecrets(
    (_, number) => (number < 3 ? { status: 503 } : payload("x")),
    async (read) => assert.equal(await read("s"), "x"),
  );
  await withSecrets(
    () => ({ status: 404, body: { error: { message: "Secret not found" } } }),
    async (read) => {
      await assert.rejects(read("s"), {
        code: "bad_argument",
        hint: "See: gcloud secrets versions list s --project p",
      });
      await assert.rejects(read("projects/p/../x"), /not the name of a secret/);
    },
  );
  await withSecrets(
    () => ({ status: 403, body: { error: { message: "Permission denied" } } }),
    async (read) => assert.rejects(read("s"), { code: "forbidden", hint: /roles\/secretmanager\.secretAccessor/ }),
  );
  const google = connectSecretManager({ projectId: undefined, env: {}, home: "/nonexistent", now: Date.now });
  await assert.rejects(google("s"), /Of which project/);
});
