/** Sets up and measures: `npm run bench [-- --sizes 20,200 --pairs 5]`. */
import { join } from "node:path";
import { main, node, root, run } from "./process.mjs";
import { setUp } from "./setup.mjs";

main(import.meta.url, async () => {
  await setUp();
  return await run(node, [join(root, "bench", "main.ts"), ...process.argv.slice(2)]);
});
