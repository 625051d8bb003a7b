import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { renderEnvVar } from "./jinja-env-var.ts";

const ENV = { A: "dev", NUMBER: "12", QUOTED: "'x'", EMPTY: "", BOOL: "True", BRACES: "{{ x }}" };

/** text → rendered; undefined where that is not certain. */
const RENDERINGS: readonly [text: string, rendered: string | undefined][] = [
  ["plain", "plain"],
  ["", ""],
  ["{{ env_var('A') }}", "dev"],
  ['{{env_var("A")}}', "dev"],
  ["{{\n env_var( 'A' , )\n}}", "dev"],
  ["x_{{ env_var('A') }}_{{ env_var('NUMBER') }}", "x_dev_12"],
  ["x {{- env_var('A') -}} y", "xdevy"],
  ["{{ env_var('NONE') }}", undefined],
  ["{{ env_var('NONE', 'd') }}", "d"],
  ["{{ env_var('NONE', default=\"d e\") }}", "d e"],
  ["{{ env_var('EMPTY', 'd') }}", ""],
  ["{{ env_var('A') | as_native }}", "dev"],
  ["{{ env_var('NUMBER') | as_number }}", "12"],
  ["{{ env_var('NUMBER')|as_text|as_native }}", "12"],
  ["{{ env_var('BOOL') | as_bool }}", "True"],
  ["{{ env_var('BOOL') | as_native }}", undefined],
  ["{{ env_var('A') | as_number }}", undefined],
  ["{{ env_var('QUOTED') | as_native }}", undefined],
  ["{{ env_var('QUOTED') }}", "'x'"],
  ["{{ env_var('BRACES') }}", "{{ x }}"],
  ["{{ env_var('A') | upper }}", undefined],
  ["{{ env_var('A') ~ 'x' }}", undefined],
  ['{{ env_var("A\\n") }}', undefined],
  ["{{ var('x') }}", undefined],
  ["{{ 'x' }}", undefined],
  ["{{ env_var('A') }}{% if x %}y{% endif %}", undefined],
  ["{{ env_var('A') }}{# c #}", undefined],
  ["{{ env_var('A') }}{{", undefined],
  ["{{ env_var('A')", undefined],
];

for (const [text, rendered] of RENDERINGS) {
  test(`${JSON.stringify(text)} → ${rendered ?? "not certain"}`, () => {
    assert.equal(renderEnvVar(text, ENV), rendered);
  });
}

test("no text throws, and text without Jinja stays as it is", () => {
  const piece = fc.oneof(fc.constantFrom("{{", "}}", "env_var(", "'A'", "-", "|", "{%", " "), fc.string());
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const text = pieces.join("");
      const rendered = renderEnvVar(text, ENV);
      if (!text.includes("{")) assert.equal(rendered, text);
    }),
  );
});
