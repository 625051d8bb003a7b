import { test } from "node:test";
import { outage } from "./gcp-outage.ts";

test("a job without State for more than a minute loses no line", { timeout: 300_000 }, async (context) => {
  await outage(context, 65_000);
});
