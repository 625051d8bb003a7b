/** What `--auth cloud-run-iam` rests on: that Cloud Run lets in nobody unknown. */
import { AppError } from "../core/errors.ts";

/** The service that this server is, as Google has it. */
export interface OwnService {
  /** Everyone whom its own IAM policy names, in whatever role. */
  readonly members: readonly string[];
  /** Cloud Run was told not to look at tokens at all. */
  readonly isCheckDisabled: boolean;
}

const EVERYONE = ["allUsers", "allAuthenticatedUsers"];

/** Throws `bad_argument` where the service is open to strangers; says so where that can't be known. */
export async function checkOwnService(
  service: string,
  read: () => Promise<OwnService>,
  say: (line: string) => void,
): Promise<void> {
  let own: OwnService;
  try {
    own = await read();
  } catch (error) {
    const why = error instanceof AppError ? `${error.message} ${error.hint ?? ""}` : String(error);
    say(
      `Who may call the service ${service} can't be read: ${why.trim()}\nSee to it that neither allUsers nor allAuthenticatedUsers may, or anyone can pass for anyone here.`,
    );
    return;
  }
  const hint = `gcloud run services remove-iam-policy-binding ${service} --member MEMBER --role roles/run.invoker, or use --auth oidc`;
  const open = EVERYONE.find((member) => own.members.includes(member));
  if (open !== undefined) {
    throw new AppError(
      "bad_argument",
      `--auth cloud-run-iam: the IAM policy of ${service} lets in ${open}, so that anyone could pass for anyone.`,
      { hint: hint.replace("MEMBER", open) },
    );
  }
  if (own.isCheckDisabled) {
    throw new AppError(
      "bad_argument",
      `--auth cloud-run-iam: ${service} is deployed without Cloud Run's check of who calls, so that anyone could pass for anyone.`,
      { hint: `gcloud run services update ${service} --invoker-iam-check, or use --auth oidc` },
    );
  }
}
