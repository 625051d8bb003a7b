/** Folders that a test walks, and the files of them that would be sent. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";
import { type DescribeOptions, describeProject } from "../src/snapshot/project.ts";
import { type WalkOptions, walkProject } from "../src/snapshot/walk.ts";

/** A folder with these files; a text that starts with `→` makes a link. */
export function folderWith(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = realpathSync(mkdtempSync(path.join(tmpdir(), "walk-")));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(root, name);
    mkdirSync(path.dirname(file), { recursive: true });
    if (text.startsWith("→")) symlinkSync(text.slice(1).replace("ROOT", root), file);
    else writeFileSync(file, text, { mode: name.endsWith(".sh") ? 0o755 : 0o644 });
  }
  return root;
}

/** Where a link stands behind its arrow, an executable file before a star. */
export function sent(root: string, projectDir = ".", options: WalkOptions & DescribeOptions = {}): string[] {
  const layout = describeProject(path.join(root, projectDir), options);
  return walkProject(layout, options).map(({ path: name, mode, link }) =>
    link !== undefined ? `${name} → ${link}` : mode === "100755" ? `${name}*` : name,
  );
}
