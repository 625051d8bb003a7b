import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { pages } from "../scripts/docs.ts";
import { root } from "./folders.ts";

test("the pages made from the code's tables are up to date", () => {
  for (const [path, text] of Object.entries(pages())) {
    assert.equal(readFileSync(join(root, path), "utf8"), text, `${path} is old: npm run docs`);
  }
});

test("links between the pages lead somewhere", () => {
  const docs = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
  for (const page of ["README.md", "CONTRIBUTING.md", ...docs.map((name) => `docs/${name}`)]) {
    const text = readFileSync(join(root, page), "utf8");
    for (const [, target = ""] of text.matchAll(/\]\((?!https?:|mailto:|#)([^)#]+)(#[^)]*)?\)/g)) {
      assert.ok(existsSync(join(root, dirname(page), target)), `${page} links to ${target}`);
    }
  }
});
