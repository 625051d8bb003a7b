import { DUCKDB, LONG } from "./corpus.ts";
import { duckDbProfile } from "./profiles.ts";
import { parityTests } from "./sides.ts";

parityTests(LONG, { fixture: "shop", profiles: duckDbProfile });

for (const scenario of Object.values(DUCKDB)) {
  parityTests(
    { ...scenario, name: `${scenario.name}, each run in a new process` },
    { fixture: "shop", profiles: duckDbProfile, serverEnv: { DBT_SERVER_WARM: "off" } },
  );
}
