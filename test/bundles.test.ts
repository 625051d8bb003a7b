import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bundle } from "../scripts/build.mjs";
import { root } from "./folders.ts";
import { node } from "./programs.ts";

/** `const { a, default: b } = await import("package")`, in any program. */
const LAZY = /const \{([^}]+)\} = await import\("([^."][^"]*)"\)/g;

/** What is taken from packages that are loaded late, by package. */
function lazyNames(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const file of readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts") || file.endsWith(".test.ts")) continue;
    for (const [, names = "", name = ""] of readFileSync(join(root, "src", file), "utf8").matchAll(LAZY)) {
      if (name.startsWith("node:")) continue;
      const taken = found.get(name) ?? new Set();
      for (const each of names.split(",")) taken.add((each.split(":")[0] ?? "").trim());
      found.set(name, taken);
    }
  }
  return found;
}

test("what is taken from a package that is loaded late is there in a bundle, too", async () => {
  const names = lazyNames();
  assert.ok(names.size >= 3, [...names.keys()].join());
  // In the project, where the packages are found.
  const folder = join(root, ".cache", "bundle-test");
  mkdirSync(folder, { recursive: true });
  const source = join(folder, "main.ts");
  const shown = [...names.keys()].map((name) => `${JSON.stringify(name)}: Object.keys(await import("${name}"))`);
  writeFileSync(source, `console.log(JSON.stringify({ ${shown.join(", ")} }));\n`);
  const built = join(folder, "built");
  assert.equal(await bundle([{ source, folder: built }]), undefined);
  const { stdout, stderr } = spawnSync(node, [join(built, "main.js")], { encoding: "utf8", timeout: 60_000 });
  const exported = JSON.parse(stdout || `{"failed": ${JSON.stringify(stderr)}}`) as Record<string, string[]>;
  for (const [name, taken] of names) {
    for (const each of taken) assert.ok(exported[name]?.includes(each), `${name} has no ${each}: ${exported[name]}`);
  }
});
