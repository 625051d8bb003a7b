import { DUCKDB, LONG, LONGER_DAY } from "./corpus.ts";
import { duckDbProfile } from "./profiles.ts";
import { parityTests } from "./sides.ts";

for (const scenario of [LONG, LONGER_DAY]) parityTests(scenario, { fixture: "shop", profiles: duckDbProfile });

for (const scenario of Object.values(DUCKDB)) {
  parityTests(
    { ...scenario, name: `${scenario.name}, each run in a new process` },
    { fixture: "shop", profiles: duckDbProfile, serverEnv: { DBT_SERVER_WARM: "off" } },
  );
}
