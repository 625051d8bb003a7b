/** A chain of steps on one project; every step is done by local dbt and by dbt-remote, and both must agree. */

export interface Step {
  /** dbt's argv. `@tmp/` at the start of a value stands for a folder of the side's own, outside the project. */
  readonly args: readonly string[];
  /** Done to the project before the command, on both sides. */
  readonly edit?: (project: string) => void;
  readonly env?: Readonly<Record<string, string>>;
  /** Compared: by default everything. `code`: only the exit code. */
  readonly compare?: "all" | "code";
  /** Where the command is typed, relative to the project; default its root. */
  readonly cwd?: string;
  /** Exit code both must have, where the step is there to show it. */
  readonly code?: number;
  /** Local dbt gets these as well: for what it would miss by itself. */
  readonly localOnlyArgs?: readonly string[];
  /** dbt prints in no order (several threads): lines are sorted before they are compared. */
  readonly anyOrder?: boolean;
  /** A folder compared instead of `target/`. */
  readonly target?: string;
}

export interface Scenario {
  readonly name: string;
  readonly steps: readonly Step[];
}

export const step = (line: string, more: Omit<Step, "args"> = {}): Step => ({ args: line.split(" "), ...more });
