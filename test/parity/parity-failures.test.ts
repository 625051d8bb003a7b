import { DUCKDB } from "./corpus.ts";
import { duckDbProfile } from "./profiles.ts";
import { parityTests } from "./sides.ts";

parityTests(DUCKDB.failures, { fixture: "shop", profiles: duckDbProfile });
