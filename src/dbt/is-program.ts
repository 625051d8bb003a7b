/** Whether a path is a file that this process may run. */
import { accessSync, constants, statSync } from "node:fs";

/** False for what is not there, too. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
