import { test } from "node:test";
import { jobOutage } from "./job-outage.ts";

test("a job goes on through more than a minute without State, in which dbt ends", { timeout: 400_000 }, (context) =>
  jobOutage(context, 65_000),
);
