/** Which dbt a Python has, told from its folders: nothing is started for it. */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";

/** Such as `dbt_core-1.11.16.dist-info`, sorted; empty where the folders are not as usual. */
export function installedDbt(python: string): string[] {
  const library = join(dirname(dirname(python)), "lib");
  const folders = namesIn(library).filter((name) => name.startsWith("python3."));
  return folders.flatMap((folder) =>
    namesIn(join(library, folder, "site-packages"))
      .filter((name) => /^dbt[_-].*\.dist-info$/.test(name))
      .sort(),
  );
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
