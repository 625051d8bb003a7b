/** Requests from people who mean harm, or whose program is broken: always a 4xx with words, never a 5xx, never a stack. */
import { ok } from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { assertRefused, SHA, startTarget, type Target } from "./hostile.ts";

let target: Target;
before(async () => {
  target = await startTarget();
});
after(() => target.stop());
const send: Target["send"] = (...request) => target.send(...request);

const file = (path: string, text = "x") => ({ path, contentBase64: Buffer.from(text).toString("base64") });
const project = [file("dbt_project.yml", "name: gated\nprofile: gated\n"), file("models/a.sql", "select 1")];
const runWith = (more: Record<string, unknown>) => ({ command: ["ls"], files: project, ...more });

test("runs that are no runs", async () => {
  const deep = `${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`;
  const cases: readonly (readonly [string, unknown, number?])[] = [
    ["broken JSON", '{"command": ["ls"]', 400],
    ["no JSON", "command=ls", 400],
    ["null", "null", 400],
    ["an empty body", "", 400],
    ["a number", "1e999", 400],
    ["deep JSON", deep],
    ["a prototype", '{"__proto__": {"command": ["ls"]}, "command": ["ls"]}', 400],
    ["a constructor", '{"constructor": {"prototype": {"x": 1}}}', 400],
    ["no command", { files: project }, 400],
    ["an empty command", runWith({ command: [] }), 400],
    ["a command of numbers", runWith({ command: [1, 2] }), 400],
    ["a command as text", runWith({ command: "ls" }), 400],
    ["too many arguments", runWith({ command: new Array(20_001).fill("ls") }), 400],
    ["a NUL in an argument", runWith({ command: ["ls", "-s", "a\0b"] }), 400],
    ["a command of this machine", runWith({ command: ["init"] }), 400],
    ["args of another command", runWith({ args: ["run"] }), 400],
    ["an unknown field", runWith({ isAdmin: true }), 400],
    ["an unknown snapshot", { command: ["ls"], snapshotId: `v1-${SHA}` }, 409],
    ["no snapshot's id", { command: ["ls"], snapshotId: "../../etc" }, 400],
    ["both ways at once", runWith({ snapshotId: `v1-${SHA}` }), 400],
    ["no project", { command: ["ls"] }, 400],
    ["a time limit below nothing", runWith({ options: { timeoutMs: -1 } }), 400],
    ["a time limit of broken milliseconds", runWith({ options: { timeoutMs: 1.5 } }), 400],
    ["no base64", runWith({ files: [...project, { path: "x", contentBase64: "%%%" }] }), 400],
    ["a file twice", runWith({ files: [...project, ...project] }), 400],
    ["no project file", runWith({ files: [file("models/a.sql")] }), 400],
    ["a file as a folder", runWith({ files: [...project, file("models")] }), 400],
    ["a run that is not there", runWith({ command: ["ls", "--state", "run:deadbeef"] }), 404],
    ["a nameless file", runWith({ envelope: { files: [{ name: "", contentBase64: "" }] } }), 400],
    ["a NUL in a variable", runWith({ envelope: { env: { A: "b\0c" } } }), 400],
    ["a variable that is a number", runWith({ envelope: { env: { A: 1 } } }), 400],
    ["a huge workspace name", runWith({ workspace: { name: "x".repeat(300) } }), 400],
    ["input of an odd size", runWith({ inputs: [{ path: "a", sha256: SHA, size: -1 }] }), 400],
    ["input that was not sent", runWith({ inputs: [{ path: "a", sha256: SHA, size: 1 }] }), 409],
  ];
  for (const [what, body, wanted] of cases) assertRefused(what, await send("POST", "/api/v1/runs", body), wanted);
  for (const key of ["", " ", "a b", "x".repeat(300), "ä"]) {
    const answer = await send("POST", "/api/v1/runs", runWith({}), { "idempotency-key": key });
    if (key.trim() !== "") assertRefused(`the key ${key}`, answer, 400);
  }
});

test("paths that leave the snapshot, the workspace, the run", async () => {
  const paths = [
    "../x",
    "/etc/passwd",
    "a/../../x",
    "a//b",
    "./..",
    "..",
    ".",
    "a\\..\\b",
    "C:\\x",
    "a\0b",
    "a/./b",
    "x".repeat(5000),
    "a/".repeat(3000),
  ];
  for (const path of paths) {
    const shown = JSON.stringify(path.slice(0, 50));
    assertRefused(
      `file ${shown}`,
      await send("POST", "/api/v1/runs", runWith({ files: [...project, file(path)] })),
      400,
    );
    const entries = { put: [[path, "100644", SHA, 1]] };
    assertRefused(`entry ${shown}`, await send("PUT", `/api/v1/snapshots/v1-${SHA}`, entries), 400);
  }
  for (const path of ["../x", "/etc/passwd", "a/../../x", "..", "a/b/../../..", "@outside/../../x"]) {
    for (const name of ["--target-path", "--log-path", "--project-dir", "--state", "--defer-state"]) {
      const command = ["ls", name, path];
      assertRefused(`${name} ${path}`, await send("POST", "/api/v1/runs", runWith({ command })), 400);
    }
  }
  for (const path of ["../x", "/etc", "a/../../b", "@outside/x"]) {
    assertRefused(`projectDir ${path}`, await send("POST", "/api/v1/runs", runWith({ projectDir: path })), 400);
  }
  for (const path of ["../x", "/etc/passwd", "@outside/../../x", "a/../../b"]) {
    const inputs = [{ path, sha256: SHA, size: 1 }];
    assertRefused(`input ${path}`, await send("POST", "/api/v1/runs", runWith({ inputs })), 400);
  }
  for (const env of [{ DBT_TARGET_PATH: "/etc" }, { DBT_LOG_PATH: "../../x" }, { DBT_ENGINE_STATE: "/root" }]) {
    assertRefused(JSON.stringify(env), await send("POST", "/api/v1/runs", runWith({ envelope: { env } })), 400);
  }
  for (const name of ["../x", "a/b", "..", ".", "profiles.yml", "a\0b"]) {
    const envelope = { files: [{ name, contentBase64: "" }] };
    assertRefused(`key file ${name}`, await send("POST", "/api/v1/runs", runWith({ envelope })), 400);
  }
  for (const path of [
    "..%2f..%2f..%2fstate.db",
    "%2e%2e/%2e%2e/state.db",
    "..\\..\\state.db",
    "%00",
    "__proto__",
    "nothing.json",
  ]) {
    assertRefused(`artifact ${path}`, await send("GET", `/api/v1/runs/${target.runId}/artifacts/${path}`));
  }
});

test("snapshots that are none", async () => {
  const put = (body: unknown, id = `v1-${SHA}`) => send("PUT", `/api/v1/snapshots/${id}`, body);
  const bad: readonly (readonly [string, unknown])[] = [
    ["no rows", {}],
    ["rows that are objects", { put: [{}] }],
    ["short rows", { put: [["a", "100644"]] }],
    ["a mode that opens doors", { put: [["a", "104755", SHA, 1]] }],
    ["a hash that is a path", { put: [["a", "100644", "../../../../etc/passwd", 1]] }],
    ["a size below nothing", { put: [["a", "100644", SHA, -1]] }],
    ["a size beyond numbers", `{"put": [["a", "100644", "${SHA}", 1e400]]}`],
    [
      "the same path twice",
      {
        put: [
          ["a", "100644", SHA, 1],
          ["a", "100644", SHA, 2],
        ],
      },
    ],
    [
      "a file that is a folder",
      {
        put: [
          ["a", "100644", SHA, 1],
          ["a/b", "100644", SHA, 1],
        ],
      },
    ],
    ["another id than its content's", { put: [["a", "100644", SHA, 1]] }],
    ["an unknown base", { base: `v1-${SHA}`, put: [] }],
    ["removals from nothing", { remove: ["a"], put: [] }],
    ["half a surrogate", `{"put": [["\\ud800", "100644", "${SHA}", 1]]}`],
  ];
  for (const [what, body] of bad) assertRefused(what, await put(body));
  assertRefused("a bad id", await put({ put: [] }, "..%2f..%2fx"));
});

test("YAML that means harm is read as nothing", async () => {
  const laughs = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"];
  for (let level = 1; level < 12; level += 1) {
    laughs.push(`a${level}: &a${level} [${new Array(9).fill(`*a${level - 1}`).join(",")}]`);
  }
  const texts = [
    laughs.join("\n"),
    "&a [*a]",
    "a: b: c: d",
    "\t",
    "- [".repeat(2_000),
    "!!js/function x",
    "gated: 5",
    "gated: {outputs: []}",
    "\u0000",
  ];
  for (const text of texts) {
    const files = [file("dbt_project.yml", text), file("models/a.sql")];
    const { status } = await send("POST", "/api/v1/runs", { command: ["ls"], files, envelope: { profiles: text } });
    // It is dbt's to say what is wrong with them.
    ok(status === 202 || (status >= 400 && status < 500), `${JSON.stringify(text.slice(0, 50))}: ${status}`);
  }
});

test("whatever stands in a valid request in place of one of its parts", async () => {
  const valid = {
    command: ["ls", "--state", "state", "--vars", "{a: 1}"],
    args: ["ls", "--state", "@outside/1", "--vars", "{a: 1}"],
    mode: "project",
    files: project,
    projectDir: ".",
    workspace: { name: "fuzz" },
    envelope: {
      profiles: "gated: {}",
      env: { A: "b" },
      dotenv: { C: "d" },
      secretNames: ["A"],
      files: [{ name: "k", contentBase64: "eA==" }],
    },
    inputs: [{ path: "@outside/1/manifest.json", sha256: SHA, size: 1 }],
    options: { timeoutMs: 1000, cancelOnDisconnectMs: 1000, elementary: false, jobProfile: null },
    noWait: true,
  };
  const places: (string | number)[][] = [];
  const walk = (value: unknown, place: (string | number)[]): void => {
    if (place.length > 0) places.push(place);
    if (Array.isArray(value)) for (const [index, item] of value.entries()) walk(item, [...place, index]);
    else if (typeof value === "object" && value !== null)
      for (const [name, item] of Object.entries(value)) walk(item, [...place, name]);
  };
  walk(valid, []);
  const junk = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.string({ unit: "binary" }),
    fc.constantFrom("../..", "/", "run:", "run:latest", "@outside/..", "\0", 1e308, -0),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...places), junk, async (place, value) => {
      const request = structuredClone(valid) as unknown;
      let at = request as Record<string | number, unknown>;
      for (const step of place.slice(0, -1)) at = at[step] as Record<string | number, unknown>;
      at[place.at(-1) ?? ""] = value;
      const answer = await send("POST", "/api/v1/runs", request);
      if (answer.status >= 400) assertRefused(`${place.join(".")} = ${JSON.stringify(value)}`, answer);
    }),
    { numRuns: 300 },
  );
});
