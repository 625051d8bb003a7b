import assert from "node:assert/strict";
import { test } from "node:test";
import { compileDbtIgnore } from "./dbt-ignore.ts";

test(".dbtignore works as in dbt: whole paths, the last pattern that matches wins", () => {
  const ignored = (text: string, ...paths: string[]): string[] => {
    const isIgnored = compileDbtIgnore(text);
    return paths.filter((name) => isIgnored?.(name) ?? false);
  };
  assert.deepEqual(ignored("# only a comment\n\n/\n", "models/a.sql"), []);
  assert.deepEqual(ignored("*.md", "models/a.md", "models/b/c.md", "models/a.sql"), ["models/a.md", "models/b/c.md"]);
  assert.deepEqual(ignored("a.sql\r\n  b.sql  ", "models/a.sql", "models/b.sql"), ["models/a.sql", "models/b.sql"]);
  assert.deepEqual(ignored("old/", "models/old/a.sql", "old/b.sql", "models/old.sql"), [
    "models/old/a.sql",
    "old/b.sql",
  ]);
  assert.deepEqual(ignored("models/*.sql", "models/a.sql", "models/b/a.sql"), ["models/a.sql"]);
  assert.deepEqual(ignored("models/**/x.sql", "models/x.sql", "models/a/b/x.sql"), [
    "models/x.sql",
    "models/a/b/x.sql",
  ]);
  assert.deepEqual(ignored("/models/a", "models/a/x.sql", "b/models/a/x.sql"), ["models/a/x.sql"]);
  // Git would not re-include a file of an excluded folder; dbt does.
  assert.deepEqual(ignored("models/old/\n!models/old/keep.sql", "models/old/a.sql", "models/old/keep.sql"), [
    "models/old/a.sql",
  ]);
  assert.deepEqual(ignored("*.sql\n!keep*\nkeep_not.sql", "keep.sql", "keep_not.sql", "a.sql"), [
    "keep_not.sql",
    "a.sql",
  ]);
  assert.deepEqual(ignored("A.sql", "a.sql"), []);
  assert.deepEqual(ignored("shared/*.sql", "../shared/a.sql"), []);
  assert.deepEqual(ignored("*.sql", "../shared/a.sql"), ["../shared/a.sql"]);
});
