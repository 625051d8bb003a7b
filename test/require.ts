/** Parts that a machine may lack: a test that needs one says so, and is skipped with the reason, never silently. */
import type { TestContext } from "node:test";

/**
 * True when the part is there. Else the test is marked as skipped with the reason, and should return; under
 * `REQUIRE_ALL=1`, where nothing may be skipped, it fails.
 */
export function requirePart(context: TestContext, name: string, available: boolean, reason: string): boolean {
  if (available) return true;
  const message = `${name} is missing: ${reason}`;
  if (process.env["REQUIRE_ALL"] === "1") throw new Error(`REQUIRE_ALL=1, but ${message}`);
  context.skip(message);
  return false;
}
