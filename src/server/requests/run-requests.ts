/** From a request to a run: checked, adapted, and stored with all that it needs before it is acknowledged. */
import { createHash } from "node:crypto";
import type { RunRequest } from "../../api/schemas/runs.ts";
import { type DbtArgv, parseDbtArgv } from "../../core/dbt-argv.ts";
import type { Envelope } from "../../core/envelope.ts";
import { AppError } from "../../core/errors.ts";
import { accessOf, type Requester, type Run, type RunOptions } from "../../core/run.ts";
import { createScrubber } from "../../core/scrub.ts";
import type { JsonObject, State } from "../../state/port.ts";
import type { NewRun } from "../../state/runs.ts";
import type { Stores } from "../../state/stores.ts";
import type { AheadLaunch, AheadLaunches } from "../ahead-launches.ts";
import { workspaceKey } from "../workspace-key.ts";
import type { ConnectionFiles } from "./container-files.ts";
import { readEnvelope } from "./envelope.ts";
import { readProjectTree } from "./project-tree.ts";
import { checkArgumentPaths, checkVariablePaths, pointAtProfiles } from "./run-paths.ts";
import { readRunProfile, readServerProfiles } from "./run-profile.ts";
import { resolveStateRuns } from "./state-sources.ts";

/** The dbt that runs will use, as far as a request depends on it. */
export interface RequiredEngine {
  requireAdapter(type: string): void;
}

export interface RunRequestsParams {
  readonly state: State;
  readonly stores: Stores;
  /** Resolves once it is known; rejects with `dbt_not_found`. */
  readonly engine: () => Promise<RequiredEngine>;
  /** Folder of the server's own profiles.yml. */
  readonly profilesDir: string | undefined;
  /** The secret that jobs read the server's own profiles from. */
  readonly profilesSecret?: string | undefined;
  /** Values of the server's own environment that dbt may see. */
  readonly serverEnv: Readonly<Record<string, string | undefined>>;
  /** No run may take longer. */
  readonly runTimeoutMs: number | null;
  readonly newId: () => string;
  /** Id of the run that a new one would have to wait for. */
  readonly wouldWaitFor: (run: Pick<Run, "workspace" | "access" | "warehouseFile">) => Promise<string | undefined>;
  /** Launches what can be launched. */
  readonly dispatch: () => Promise<void>;
  /** Launches jobs while the project is still on its way. */
  readonly ahead?: Pick<AheadLaunches, "of">;
  /** Throws where the jobs can't have what the connection names, or there is no such job profile. */
  readonly checkJob?: (connection: ConnectionFiles) => Promise<void>;
}

export interface PostedRun {
  readonly request: RunRequest;
  readonly requester: Requester;
  readonly idempotencyKey: string | undefined;
}

export interface CreatedRun {
  readonly run: Run;
  /** False where the idempotency key stood for a run that was there already. */
  readonly created: boolean;
}

export type CreateRun = (posted: PostedRun) => Promise<CreatedRun>;

/** These are about the machine that they are typed on. */
const LOCAL_VERBS: ReadonlySet<string> = new Set(["init", "docs serve"]);
/** These work without the adapter, or say themselves what is wrong with it. */
const WITHOUT_ADAPTER: ReadonlySet<string> = new Set(["", "deps", "clean", "debug"]);

export function createRunRequests(params: RunRequestsParams): CreateRun {
  const { state, stores } = params;

  return async (posted) => {
    const engine = await params.engine();
    const parsed = readArgv(posted.request);
    const ahead = aheadOf(posted, parsed);
    try {
      const created = await create(posted, parsed, engine, ahead);
      await ahead?.became(created.run.id);
      return created;
    } catch (error) {
      await ahead?.refused(error);
      throw error;
    }
  };

  /** Files that come with the request are never missing. */
  function aheadOf({ request, requester, idempotencyKey: key }: PostedRun, { verb }: DbtArgv): AheadLaunch | undefined {
    if (key === undefined || request.files !== undefined) return undefined;
    const workspace = workspaceKey(requester.id, request.workspace ?? {});
    const jobProfile = request.options?.jobProfile ?? null;
    return params.ahead?.of({ requesterId: requester.id, key, workspace, access: accessOf(verb), jobProfile });
  }

  async function create(
    { request, requester, idempotencyKey }: PostedRun,
    parsed: DbtArgv,
    engine: RequiredEngine,
    ahead: AheadLaunch | undefined,
  ): Promise<CreatedRun> {
    const tree = await readProjectTree({ request, contents: state.contents, snapshots: stores.snapshots });
    const promised = ahead?.promised();
    const received = readEnvelope(request.envelope, tree.profiles);
    checkArgumentPaths(parsed);
    checkVariablePaths(received.env);
    const serverProfiles = await readServerProfiles(params.profilesDir);
    const { serverEnv } = params;
    const profile = await readRunProfile({
      parsed,
      envelope: received,
      serverProfiles,
      isElsewhere: params.profilesSecret !== undefined,
      project: tree.project,
      serverEnv,
    });
    if (profile.adapter !== null && !WITHOUT_ADAPTER.has(parsed.verb)) engine.requireAdapter(profile.adapter);
    const options = readOptions(request.options, params.runTimeoutMs);
    await params.checkJob?.({ ...profile, verb: parsed.verb, jobProfile: options.jobProfile });
    const workspace = workspaceKey(requester.id, request.workspace ?? {});
    const { target, warehouseFile, profileFrom } = profile;
    const requesterId = requester.id;
    const pointed = profileFrom === "none" ? parsed : parseDbtArgv(pointAtProfiles(parsed));
    const { env } = received;
    const resolved = await resolveStateRuns({ parsed: pointed, env, stores, requesterId, workspace, target });
    const { scrubText } = createScrubber(profile.secrets);
    const args = resolved.args.map(scrubText);
    const isMasked = args.some((each, index) => each !== resolved.args[index]);
    const envelope = { ...received, env: resolved.env, args: isMasked ? resolved.args : null };
    const run: NewRun = {
      id: (await promised) ?? params.newId(),
      command: request.command.map(scrubText),
      args,
      verb: parsed.verb,
      access: accessOf(parsed.verb),
      requester,
      workspace,
      workspaceName: request.workspace?.name ?? null,
      snapshotId: tree.snapshotId,
      projectDir: tree.projectDir,
      mode: tree.mode,
      inputs: request.inputs ?? [],
      stateSources: resolved.stateSources,
      warehouseFile,
      profileFrom,
      target,
      options,
      envNames: [...new Set([...Object.keys(envelope.env), ...Object.keys(envelope.dotenv)])].sort(),
    };
    const key =
      idempotencyKey === undefined ? undefined : { key: idempotencyKey, fingerprint: fingerprintOf(run, parsed) };
    const isRepeated = key !== undefined && (await stores.runs.findByKey(requesterId, key.key)) !== undefined;
    if (request.noWait === true && !isRepeated) await refuseToWait(run);
    return store(run, profileFrom === "server" ? { ...envelope, profiles: null } : envelope, key);
  }

  async function refuseToWait(run: NewRun): Promise<void> {
    const behind = await params.wouldWaitFor(run);
    if (behind === undefined) return;
    const other = await stores.runs.get(behind);
    const what =
      other === undefined ? "another run" : `run ${other.number} (dbt ${other.command.join(" ").slice(0, 100)})`;
    throw new AppError("workspace_busy", `It would have to wait for ${what}.`, {
      hint: `Leave out --no-wait, or follow the other: dbt-remote attach ${behind}`,
      details: { runId: behind },
    });
  }

  /** The envelope first: whoever sees the run may launch it. */
  async function store(
    run: NewRun,
    envelope: Envelope,
    key: Parameters<typeof stores.runs.create>[1],
  ): Promise<CreatedRun> {
    await state.envelopes.put(run.id, asJson(envelope));
    const creation = await stores.runs.create(run, key);
    // A run of this id has its envelope from here, even where the same post, made twice, was faster to complete it.
    if (creation.kind === "conflict" || creation.run.id !== run.id) await state.envelopes.discard(run.id);
    if (creation.kind === "conflict") {
      throw new AppError("idempotency_conflict", "The idempotency key stands for a run with another request.", {
        hint: "Use another Idempotency-Key for another request",
        details: { runId: creation.runId },
      });
    }
    // It completes a post that was cut off, and has that one's id.
    if (creation.kind === "created" && creation.run.id !== run.id) {
      await state.envelopes.put(creation.run.id, asJson(envelope));
    }
    await params.dispatch();
    return { run: await stores.runs.require(creation.run.id), created: creation.kind === "created" };
  }
}

function readArgv({ command, args }: RunRequest): DbtArgv {
  for (const argument of [...command, ...(args ?? [])]) {
    if (argument.includes("\0"))
      throw new AppError("bad_argument", "An argument holds a NUL, which no program can get.");
  }
  const parsed = parseDbtArgv(args ?? command);
  const typed = parseDbtArgv(command);
  if (typed.verb !== parsed.verb) {
    throw new AppError("bad_request", `"args" (${parsed.verb}) is not the "command" (${typed.verb}).`);
  }
  if (LOCAL_VERBS.has(parsed.verb)) {
    throw new AppError("bad_argument", `dbt ${parsed.verb} is about your own machine.`, {
      hint: `Run it there: dbt ${parsed.verb}`,
    });
  }
  return parsed;
}

function readOptions(given: RunRequest["options"], runTimeoutMs: number | null): RunOptions {
  const limits = [given?.timeoutMs ?? null, runTimeoutMs].filter((each) => each !== null);
  return {
    timeoutMs: limits.length === 0 ? null : Math.min(...limits),
    cancelOnDisconnectMs: given?.cancelOnDisconnectMs ?? null,
    elementary: given?.elementary ?? false,
    jobProfile: given?.jobProfile ?? null,
  };
}

/** All that makes two posts the same request; values of the environment are none of it, they may be refreshed tokens. */
function fingerprintOf(run: NewRun, parsed: DbtArgv): string {
  const { command, snapshotId, projectDir, workspace, options, inputs, mode } = run;
  const parts = { command, args: parsed.argv, snapshotId, projectDir, workspace, options, inputs, mode };
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

function asJson({ profiles, env, dotenv, secretNames, files, args }: Envelope): JsonObject {
  return {
    args,
    profiles,
    env,
    dotenv,
    secretNames,
    files: files.map(({ name, contentBase64 }) => ({ name, contentBase64 })),
  };
}
