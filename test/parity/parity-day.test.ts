import { DUCKDB } from "./corpus.ts";
import { duckDbProfile } from "./profiles.ts";
import { parityTests } from "./sides.ts";

parityTests(DUCKDB.day, { fixture: "shop", profiles: duckDbProfile });
