/** Brings the public data of the example project to where it is read: copies of files in an npm package. */
import { copyFileSync, existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { main, root, ScriptError, say } from "./process.mjs";

/** The example project. */
export const example = join(root, "examples", "flights");

const files = /** @type {const} */ ([
  ["flights-3m.parquet", join("data", "flights-3m.parquet")],
  ["airports.csv", join("seeds", "airports.csv")],
]);

/** Copies what is missing or of another size. */
export function prepareExample() {
  for (const [name, path] of files) {
    const from = join(root, "node_modules", "vega-datasets", "data", name);
    const to = join(example, path);
    if (!existsSync(from)) throw new ScriptError(`${from} is missing`, "Run `npm ci` first.");
    if (existsSync(to) && statSync(to).size === statSync(from).size) continue;
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(from, to);
  }
}

main(import.meta.url, async () => {
  prepareExample();
  say(`The example's data is in ${example}`);
});
