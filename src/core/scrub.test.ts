import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createScrubber, MASK } from "./scrub.ts";

function inChunks(secrets: readonly string[], bytes: Buffer, cuts: readonly number[]): string {
  const scrubber = createScrubber(secrets);
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  const out: Buffer[] = [];
  let from = 0;
  for (const end of ends) {
    // A copy that is wiped afterwards: nothing may keep the caller's memory.
    const chunk = Buffer.from(bytes.subarray(from, end));
    out.push(Buffer.from(scrubber.push(chunk)));
    chunk.fill(0);
    from = end;
  }
  out.push(scrubber.flush());
  return Buffer.concat(out).toString();
}

// Few letters, so that secrets meet, overlap and nearly match.
const letters = fc.constantFrom("a", "b", "c", "é", "\n", '"');
const secretsArbitrary = fc.array(fc.string({ unit: letters, minLength: 1, maxLength: 9 }), { maxLength: 4 });

test("any cutting into chunks gives the same result, with no secret in it", () => {
  fc.assert(
    fc.property(
      secretsArbitrary,
      fc.array(fc.string({ unit: letters, maxLength: 12 }), { maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 8 }),
      fc.boolean(),
      (secrets, texts, cuts, json) => {
        const plain = texts.flatMap((text, index) => [text, secrets[index] ?? ""]).join("");
        const bytes = Buffer.from(json ? JSON.stringify(plain) : plain);
        const whole = createScrubber(secrets).scrubText(bytes.toString());
        assert.equal(inChunks(secrets, bytes, cuts), whole);
        for (const secret of secrets.map((value) => value.trim()).filter((value) => value.length >= 4)) {
          assert.ok(!whole.includes(secret));
          assert.ok(!whole.includes(JSON.stringify(secret).slice(1, -1)));
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test("bytes that are no text pass unharmed in any chunks", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(60), (bytes, cut) => {
      const scrubber = createScrubber(["hunter2-hunter2"]);
      const out = [scrubber.push(bytes.subarray(0, cut)), scrubber.push(bytes.subarray(cut)), scrubber.flush()];
      assert.deepEqual(Buffer.concat(out), Buffer.from(bytes));
    }),
  );
});

test("a secret over a chunk border is masked; only a tail that may be its start waits", () => {
  const scrubber = createScrubber(["hunter2"]);
  assert.equal(scrubber.push(Buffer.from("the password is hun")).toString(), "the password is ");
  assert.equal(scrubber.push(Buffer.from("ter2, really\n")).toString(), `${MASK}, really\n`);
  assert.equal(scrubber.push(Buffer.from("a hunt\n")).toString(), "a hunt\n");
  assert.equal(scrubber.push(Buffer.from("hunter")).toString(), "");
  assert.equal(scrubber.flush().toString(), "hunter");
  assert.equal(scrubber.flush().toString(), "");
});

test("the longer of two secrets is masked, overlapping ones as one", () => {
  const { scrubText } = createScrubber(["secret", "secret-key", "keyword"]);
  assert.equal(scrubText("secret secret-key secret-keyword"), `${MASK} ${MASK} ${MASK}`);
});

test("JSON-escaped forms are masked, JavaScript's and Python's", () => {
  const secret = 'p"ä\\ss\nword';
  const { scrubText } = createScrubber([secret]);
  assert.equal(scrubText(JSON.stringify({ secret })), `{"secret":"${MASK}"}`);
  assert.equal(scrubText('"p\\"\\u00e4\\\\ss\\nword"'), `"${MASK}"`);
});

test("JSON in JSON, Python's repr and quoting in SQL are seen through", () => {
  const secret = `p"a'\\s`;
  const { scrubText } = createScrubber([secret]);
  assert.equal(scrubText(JSON.stringify(JSON.stringify({ secret }))), `"{\\"secret\\":\\"${MASK}\\"}"`);
  assert.equal(scrubText(`{'secret': 'p"a\\'\\\\s'}`), `{'secret': '${MASK}'}`);
  assert.equal(scrubText(`select 'p"a''\\s'`), `select '${MASK}'`);
});

test("a private key is masked whole and line by line", () => {
  const body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
  const { scrubText } = createScrubber([`-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`]);
  assert.equal(scrubText(`  BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n`), `  ${MASK}\n`);
  assert.equal(scrubText(`key: ${body}`), `key: ${MASK}\n${MASK}`);
});

test("a line break at a secret's end does not hold back every line", () => {
  const scrubber = createScrubber(["\ntoken-value\n"]);
  assert.equal(scrubber.push(Buffer.from("one line\n")).toString(), "one line\n");
  assert.equal(scrubber.push(Buffer.from("token-value\n")).toString(), `${MASK}\n`);
});

test("empty and very short values, and words of JSON, are no secrets", () => {
  const { scrubText } = createScrubber(["", " ", "a", "dbt", "true", "None"]);
  assert.equal(scrubText("a dbt run: true, None"), "a dbt run: true, None");
});
