/** An older client's form as a request of today: a run from a manifest, with its files inline. */
import type { RunRequest } from "../../api/schemas/runs.ts";
import { isMapping } from "../../core/dbt-profile.ts";
import { AppError } from "../../core/errors.ts";
import { olderCommand } from "./command.ts";
import { MAX_FORM_BYTES, type OlderForm } from "./form.ts";
import { parsePythonLiteral } from "./python-literal.ts";
import { readZip } from "./zip.ts";

export async function olderRequest({ fields, files }: OlderForm): Promise<RunRequest> {
  const project = required(fields, "dbt_project");
  const profiles = required(fields, "profiles");
  const packages = fields.get("packages") ?? "";
  const archive = files.get("zipped_artifacts");
  if (archive === undefined) throw missing("zipped_artifacts");
  const artifacts = await readZip(archive, MAX_FORM_BYTES);
  const { name, seedsFolder } = await readProject(project);
  const sent: [string, Buffer][] = [["dbt_project.yml", Buffer.from(project)]];
  if (packages.trim() !== "") sent.push(["packages.yml", Buffer.from(packages)]);
  for (const [path, content] of artifacts) {
    if (path === "manifest.json") sent.push([path, content]);
    else if (path.startsWith("seeds/")) sent.push([path.replace("seeds", () => seedsFolder), content]);
  }
  return {
    command: olderCommand(required(fields, "user_command"), readOverrides(fields)),
    mode: "manifest",
    files: sent.map(([path, content]) => ({ path, contentBase64: content.toString("base64") })),
    envelope: { profiles },
    // It tells no checkouts apart: a project's runs take turns, and find what the last one left.
    workspace: { checkout: `older-client:${name}` },
  };
}

function readOverrides(fields: OlderForm["fields"]): Record<string, unknown> {
  const text = fields.get("dbt_native_params_overrides") ?? "";
  const overrides = text.trim() === "" ? {} : parsePythonLiteral(text);
  if (isMapping(overrides)) return overrides;
  throw new AppError("bad_request", `dbt_native_params_overrides is ${JSON.stringify(text.slice(0, 100))}, no dict.`);
}

/** The client sends seeds in `seeds/`, wherever the project has them. */
async function readProject(text: string): Promise<{ name: string; seedsFolder: string }> {
  const { parseDocument } = await import("yaml");
  let project: unknown;
  try {
    project = parseDocument(text, { version: "1.1", merge: true, uniqueKeys: false, logLevel: "silent" }).toJS({
      maxAliasCount: 1000,
    });
  } catch {
    // dbt says itself what is wrong with it.
  }
  if (!isMapping(project)) return { name: "", seedsFolder: "seeds" };
  const { name } = project;
  const paths: unknown = project["seed-paths"] ?? project["data-paths"];
  const first: unknown = Array.isArray(paths) ? paths[0] : undefined;
  const isPlain = typeof first === "string" && /^[\w][\w./-]*$/.test(first) && !first.includes("..");
  return {
    name: typeof name === "string" ? name.slice(0, 100) : "",
    seedsFolder: isPlain ? first.replace(/\/+$/, "") : "seeds",
  };
}

function required(fields: OlderForm["fields"], name: string): string {
  const value = fields.get(name) ?? "";
  if (value.trim() === "") throw missing(name);
  return value;
}

const missing = (name: string): AppError => new AppError("bad_request", `The form has no ${name}.`);
