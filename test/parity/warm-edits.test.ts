import { warmEditsTest } from "./warm-edits.ts";

warmEditsTest(10);
