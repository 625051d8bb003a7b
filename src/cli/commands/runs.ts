/** `dbt-remote runs`: what was run, newest first. */
import type { RunView } from "../../api/schemas/runs.ts";
import { parseDurationMs } from "../../config/option-kinds.ts";
import { type OwnCommand, startSession } from "../own-verb.ts";
import { workspaceQuery } from "../run-ref.ts";
import { table } from "../table.ts";

/** A moment as typed, as ISO 8601. */
function moment(value: string | undefined, nowMs: number): string | undefined {
  if (value === undefined) return undefined;
  const agoMs = parseDurationMs(value);
  return new Date(agoMs === undefined ? Date.parse(value) : nowMs - agoMs).toISOString();
}

function duration(fromIso: string | null, toMs: number): string {
  if (fromIso === null) return "";
  const seconds = Math.max(0, Math.round((toMs - Date.parse(fromIso)) / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
}

function localTime(iso: string): string {
  const date = new Date(iso);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

const MAX_COMMAND = 60;

/** Eight characters, or as many as it takes to have a letter among them: digits alone would be a run's number. */
function shortId(id: string): string {
  return id.slice(0, Math.max(8, id.search(/[a-f]/) + 1));
}

function row(run: RunView, nowMs: number): string[] {
  const command = run.command.join(" ").replace(/\s+/g, " ");
  const reason = run.reason === null || run.reason === "dbt_failed" ? "" : ` (${run.reason.replaceAll("_", " ")})`;
  return [
    String(run.number),
    shortId(run.id),
    run.status + reason,
    run.exitCode === null ? "" : String(run.exitCode),
    localTime(run.createdAt),
    duration(run.startedAt, run.finishedAt === null ? nowMs : Date.parse(run.finishedAt)),
    run.requester,
    command.length > MAX_COMMAND ? `${command.slice(0, MAX_COMMAND - 1)}…` : command,
  ];
}

export async function runs(command: OwnCommand): Promise<number> {
  const { settings, output, client } = await startSession(command);
  const { values } = settings;
  const nowMs = Date.now();
  const answer = await (await client()).runs({
    ...(values.all ? {} : await workspaceQuery(command.context, settings)),
    ...(values.status === undefined ? {} : { status: values.status }),
    ...(values.command === undefined ? {} : { verb: values.command }),
    ...definedTimes(moment(values.since, nowMs), moment(values.until, nowMs)),
    limit: values.limit,
  });
  if (values.json) await output.out.write(`${JSON.stringify(answer.runs, null, 2)}\n`);
  else if (answer.runs.length === 0)
    output.say(values.all ? "no runs" : "no runs in this workspace; --all shows everyone's");
  else {
    const head = ["RUN", "ID", "STATUS", "EXIT", "CREATED", "TOOK", "BY", "COMMAND"];
    await output.out.write(
      table(
        head,
        answer.runs.map((run) => row(run, nowMs)),
      ),
    );
  }
  await output.flush();
  return 0;
}

function definedTimes(since: string | undefined, until: string | undefined) {
  return { ...(since === undefined ? {} : { since }), ...(until === undefined ? {} : { until }) };
}
