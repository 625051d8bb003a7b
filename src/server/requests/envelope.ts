/** What of a request may not be kept: checked, completed, and without what may not be sent. */

import type { RunRequest } from "../../api/schemas/runs.ts";
import { mayBeSent } from "../../core/dbt-environment.ts";
import type { Envelope } from "../../core/envelope.ts";
import { AppError } from "../../core/errors.ts";

type Given = NonNullable<RunRequest["envelope"]>;

/** `profiles` is the text of a profiles.yml that came among the files. Errors name names, never values. */
export function readEnvelope(given: Given | undefined, profiles: string | null): Envelope {
  const files = given?.files ?? [];
  const names = new Set<string>();
  for (const { name } of files) {
    const isBare = /^[^/\\\0]+$/.test(name) && name !== "." && name !== ".." && name !== "profiles.yml";
    if (!isBare || names.has(name)) {
      throw new AppError(
        "bad_request",
        `The envelope's file ${JSON.stringify(name)} has to have a bare name of its own.`,
      );
    }
    names.add(name);
  }
  return {
    profiles: given?.profiles ?? profiles,
    env: variables(given?.env ?? {}),
    dotenv: variables(given?.dotenv ?? {}),
    secretNames: given?.secretNames ?? [],
    files: files.map(({ name, contentBase64 }) => ({ name, contentBase64 })),
    args: null,
  };
}

/** Without those that describe this machine or belong to dbt-remote. */
function variables(values: Readonly<Record<string, string>>): Record<string, string> {
  for (const [name, value] of Object.entries(values)) {
    if (value.includes("\0")) {
      throw new AppError("bad_request", `The value of the variable ${JSON.stringify(name.slice(0, 200))} holds a NUL.`);
    }
  }
  return Object.fromEntries(Object.entries(values).filter(([name]) => mayBeSent(name)));
}
