/** Profiles of the sides of a comparison. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { root } from "../harness.ts";

/** A DuckDB file in the project's folder. */
export function duckDbProfile(folder: string): void {
  cpSync(join(root, "test/fixtures/projects/shop-profiles"), folder, { recursive: true });
}
