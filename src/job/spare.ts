/** A job's program that was started before there was a run for it: it is told by the process that started it. */

type Environment = Readonly<Record<string, string | undefined>>;

export function isSpare(env: Environment): boolean {
  return env["DBT_JOB_SPARE"] !== undefined && process.send !== undefined;
}

/**
 * Says that it waits, and resolves to the environment of the run that it is given. Where that process is gone before, it
 * ends: nobody else knows of it.
 */
export function assignedEnvironment(): Promise<Environment> {
  return new Promise((resolve) => {
    const leave = (): never => process.exit(0);
    process.once("disconnect", leave);
    process.once("message", (message: { readonly env: Environment }) => {
      process.off("disconnect", leave);
      // From here on it lives as long as its run does.
      process.send?.("taken", undefined, undefined, () => process.disconnect());
      resolve(message.env);
    });
    process.send?.("ready");
  });
}
