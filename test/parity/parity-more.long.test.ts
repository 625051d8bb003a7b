import { cpSync } from "node:fs";
import { join } from "node:path";
import { root } from "../harness.ts";
import { LONG } from "./corpus.ts";
import { parityTests } from "./sides.ts";

parityTests(LONG, {
  fixture: "shop",
  profiles: (folder) => cpSync(join(root, "test/fixtures/projects/shop-profiles"), folder, { recursive: true }),
});
