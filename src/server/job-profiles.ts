/** How `--job-profile` is written: `NAME[=JOB][:KEY=VALUE]…`, such as `large=dbt-large:cpu=4:memory=8Gi`. Pure. */
import { type OptionKind, parseDurationMs } from "../config/option-kinds.ts";

/** One of the Jobs that runs can be launched in. */
export interface JobProfile {
  /** As runs ask for it. */
  readonly name: string;
  /** Of the Cloud Run Job. */
  readonly job: string;
  /** As Google writes it, such as `2`; what is not said is as the Job has it, or as Google makes it. */
  readonly cpu?: string;
  /** Such as `4Gi`. */
  readonly memory?: string;
  readonly timeoutMs?: number;
  readonly serviceAccount?: string;
}

const NAME = /^[a-z]([a-z0-9-]{0,47}[a-z0-9])?$/;
const SHORTEST_TIMEOUT_MS = 60_000;

const refuse = (): never => {
  throw new Error("not of this kind");
};

/** Several of them: a repeated flag, or separated by commas. */
export function jobProfiles(): OptionKind<readonly JobProfile[]> {
  return {
    wanted: "a list of job profiles NAME[=JOB][:cpu=N][:memory=SIZE][:timeout=DURATION][:service-account=EMAIL]",
    example: "large=dbt-large:cpu=4:memory=8Gi",
    placeholder: "PROFILE",
    isSwitch: false,
    isList: true,
    parse(texts) {
      const profiles = texts
        .flatMap((each) => each.split(","))
        .map((each) => each.trim())
        .filter((each) => each !== "")
        .map(parseProfile);
      const names = new Set(profiles.map(({ name }) => name));
      return names.size === profiles.length && names.size > 0 ? profiles : refuse();
    },
  };
}

function parseProfile(text: string): JobProfile {
  const [first = "", ...more] = text.split(":");
  const [name = "", job = `dbt-remote-${name}`, ...rest] = first.split("=");
  if (!NAME.test(name) || !NAME.test(job) || rest.length > 0) return refuse();
  return Object.assign({ name, job }, ...more.map(setting));
}

function setting(text: string): Partial<JobProfile> {
  const at = text.indexOf("=");
  const [key, value] = [text.slice(0, at), text.slice(at + 1)];
  switch (key) {
    case "cpu":
      return /^\d+m?$/.test(value) ? { cpu: value } : refuse();
    case "memory":
      return /^\d+(Mi|Gi|M|G)$/.test(value) ? { memory: value } : refuse();
    case "timeout": {
      const timeoutMs = parseDurationMs(value);
      return timeoutMs === undefined || timeoutMs < SHORTEST_TIMEOUT_MS ? refuse() : { timeoutMs };
    }
    case "service-account":
      return /^[^\s@]+@[^\s@]+$/.test(value) ? { serviceAccount: value } : refuse();
    default:
      return refuse();
  }
}
