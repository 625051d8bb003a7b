import assert from "node:assert/strict";
import { test } from "node:test";
import { AppError } from "../core/errors.ts";
import { durationMs, flag, formatDuration, integer, list, oneOf, parseDurationMs, text, url } from "./option-kinds.ts";
import { type OptionInput, option, parseOptions, splitFlags } from "./options.ts";

const table = {
  host: option(text("HOST"), { flag: "--host", env: "HOST", key: "host", default: "127.0.0.1", help: "" }),
  port: option(integer({ min: 0, max: 65535 }), {
    flag: "--port",
    aliases: ["-p"],
    env: "PORT",
    key: "port",
    default: 8001,
    help: "",
  }),
  state: option(oneOf(["local", "gcp"], "KIND"), { flag: "--state", default: "local", help: "" }),
  json: option(flag(), { flag: "--json", env: "JSON", default: false, help: "" }),
  names: option(list(), { flag: "--name", env: "NAMES", key: "names", default: [], help: "" }),
  timeout: option(durationMs(), { flag: "--timeout", help: "" }),
  token: option(url(), { env: "TOKEN", isSecret: true, help: "" }),
} as const;

const values = (input: OptionInput) => parseOptions(table, input).values;

test("flag beats environment beats file beats default", () => {
  const file = { name: "dbt_remote.yml", values: { port: 3 } };
  const port = (input: OptionInput): number => values(input).port;
  assert.equal(port({ flags: { port: ["1"] }, env: { PORT: "2" }, file }), 1);
  assert.equal(port({ env: { PORT: "2" }, file }), 2);
  assert.equal(port({ env: { PORT: "" }, file }), 3);
  assert.equal(port({}), 8001);
  assert.equal(parseOptions(table, { file }).sources.port, "file");
  assert.equal(parseOptions(table, {}).values.timeout, undefined);
});

test("flags are taken out of argv wherever they stand, up to --", () => {
  const argv = ["run", "--port=1", "-s", "a", "--json", "-p", "2", "--name", "x,y", "--name", "z", "--", "--json"];
  const { flags, rest } = splitFlags(table, argv);
  assert.deepEqual(rest, ["run", "-s", "a", "--", "--json"]);
  assert.deepEqual(flags, { port: ["1", "2"], json: ["true"], names: ["x,y", "z"] });
  const parsed = values({ flags });
  assert.equal(parsed.port, 2);
  assert.deepEqual(parsed.names, ["x", "y", "z"]);
});

test("an error names the value, its source and the next step, and never a secret", () => {
  const fails = (input: OptionInput, message: RegExp, hint: RegExp) =>
    assert.throws(
      () => values(input),
      (error) => error instanceof AppError && message.test(error.message) && hint.test(error.hint ?? ""),
    );
  fails({ flags: { port: ["abc"] } }, /"abc" of --port is not a whole number from 0 to 65535/, /--port 1/);
  fails({ env: { PORT: "70000" } }, /"70000" of PORT/, /PORT=1/);
  fails(
    { file: { name: "f.yml", values: { port: [1] } } },
    /"\[1\]" of port in f.yml|"\[1\]"/,
    /Correct port in f.yml/,
  );
  fails({ flags: { state: ["x"] } }, /one of local, gcp/, /--state local/);
  fails({ flags: { timeout: ["soon"] } }, /60s, 10m or 2h/, /--timeout 10m/);
  assert.throws(
    () => values({ env: { TOKEN: "hunter2" } }),
    (error) => error instanceof AppError && !`${error.message}${error.hint}`.includes("hunter2"),
  );
  assert.throws(() => splitFlags(table, ["--port"]), /--port needs a value/);
});

test("lengths of time", () => {
  const cases: [string, number | undefined][] = [
    ["60s", 60_000],
    ["10m", 600_000],
    ["1h30m", 5_400_000],
    ["1.5s", 1500],
    ["250ms", 250],
    ["2d", 172_800_000],
    ["90", 90_000],
    ["", undefined],
    ["s", undefined],
    ["-1s", undefined],
    ["1 h", undefined],
  ];
  for (const [given, wanted] of cases) assert.equal(parseDurationMs(given), wanted, given);
});

test("a length of time reads as it would be typed", () => {
  const cases: [number, string][] = [
    [60_000, "1m"],
    [90_000, "90s"],
    [7_200_000, "2h"],
    [172_800_000, "2d"],
    [250, "250ms"],
  ];
  for (const [ms, text] of cases) {
    assert.equal(formatDuration(ms), text);
    assert.equal(parseDurationMs(text), ms);
  }
});
