/**
 * Shows a server who asks, in the way that it wants: nothing, the user's own token, an ID token for what is in front of it
 * (Cloud Run), for the server itself, or for both. What it wants is learnt from its refusals, and remembered.
 */
import { isDeepStrictEqual } from "node:util";
import type { Credentials, Refusal } from "../../api/http.ts";
import { AppError } from "../../core/errors.ts";
import type { IdTokens } from "../../gcp/id-tokens.ts";
import type { CheckAnswer } from "./check-server.ts";
import { type Access, OPEN } from "./known-servers.ts";

export interface IdCredentialsParams {
  readonly url: string;
  /** What the user said to present to the server. */
  readonly token: string | undefined;
  /** Undefined where this machine has no identity. */
  readonly identity: () => Promise<IdTokens | undefined>;
  /** Whether a dbt-server answers at the URL that is told nothing of who asks. */
  readonly check: () => Promise<CheckAnswer>;
  readonly known: () => Promise<Access | undefined>;
  readonly remember: (access: Access) => Promise<void>;
  /** Whether no token at all is shown before `ensureOurs`, not even one that is of no use elsewhere. */
  readonly isDoubtful: boolean;
  /** Rejects with `server_untrusted` where the server must not know who asks; `tokens` are undefined for the user's own token. */
  readonly ensureOurs: (tokens: IdTokens | undefined) => Promise<void>;
}

export function createIdCredentials(params: IdCredentialsParams): Credentials {
  const { url, token, identity, remember, isDoubtful, ensureOurs } = params;
  /** Made for it, a token is of no use to anyone but who is at this URL. */
  const audience = new URL(url).origin;
  let learning: Promise<Access> | undefined;
  let owner: string | undefined;

  async function learn(): Promise<Access> {
    const known = await params.known();
    if (known !== undefined) return known;
    // Whoever has a token of their own shows it at once.
    if (token !== undefined) return OPEN;
    const answer = await params.check();
    const access = { ...OPEN, front: answer === "refused" };
    if (answer === "refused" || answer === "dbt-server") await remember(access);
    return access;
  }

  const current = (): Promise<Access> => {
    learning ??= learn();
    return learning;
  };

  async function relearn(change: Partial<Access>): Promise<true> {
    const access = { ...(await current()), ...change };
    learning = Promise.resolve(access);
    await remember(access);
    return true;
  }

  let asking: Promise<unknown> | undefined;
  /** Requests that come together ask once. */
  async function beSure(tokens: IdTokens | undefined): Promise<void> {
    if ((await current()).isOurs) return;
    asking ??= ensureOurs(tokens).then(() => relearn({ isOurs: true }));
    await asking;
  }

  async function idToken(): Promise<string> {
    const tokens = await identity();
    if (tokens === undefined) {
      throw new AppError("identity_unavailable", `${url} wants an ID token, and this machine has no identity.`, {
        hint: howToHaveIdentity,
      });
    }
    if (tokens.audience === "gcloud" || isDoubtful) await beSure(tokens);
    owner = tokens.owner;
    return tokens.get(audience);
  }

  async function headers(): Promise<Record<string, string>> {
    if (token !== undefined && isDoubtful) await beSure(undefined);
    const { front, own } = await current();
    const static_ = token === undefined ? {} : { authorization: `Bearer ${token}` };
    if (!front && (!own || token !== undefined)) return static_;
    const shown = `Bearer ${await idToken()}`;
    if (front && (own || token !== undefined)) {
      // Cloud Run then looks at its own header only, and leaves the other as it is.
      return { authorization: shown, ...static_, "x-serverless-authorization": shown };
    }
    return { authorization: shown };
  }

  return {
    headers,

    async refused({ status, error, sent }: Refusal) {
      const { front, own } = await current();
      const wants = error?.details?.["auth"];
      const isFront = error === undefined || wants === "cloud-run-iam";
      if (!isFront && (wants !== "oidc" || token !== undefined)) return false;
      if (status !== 401 && !(error === undefined && !front)) return false;
      const tokens = await identity();
      if (tokens === undefined) return false;
      // Another request may have been refused before, and have learnt from it.
      if (!isDeepStrictEqual(sent, await headers())) return true;
      if (wants === "cloud-run-iam" && own) return relearn({ front: true, own: false });
      if (isFront && !front) return relearn({ front: true });
      if (!isFront && !own) return relearn({ own: true });
      if (await tokens.renew(audience)) return true;
      // It may have come to be behind Cloud Run, which takes the signature of a token that it has checked.
      return !isFront && !front && relearn({ front: true });
    },

    hint(status) {
      if (owner === undefined) return howToHaveIdentity;
      if (status !== 403) return undefined;
      return `Grant ${owner} roles/run.invoker on the service, if it is a dbt-server's: gcloud run services add-iam-policy-binding SERVICE --member user:EMAIL --role roles/run.invoker`;
    },
  };
}

const howToHaveIdentity =
  "If it is a dbt-server on Google Cloud: gcloud auth login, or let GOOGLE_APPLICATION_CREDENTIALS name a service account's credentials. Else set DBT_SERVER_TOKEN.";
