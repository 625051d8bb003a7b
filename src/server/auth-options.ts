/** Who may use a server: the options for it, and the rules they have to keep. */
import { list, oneOf, text } from "../config/option-kinds.ts";
import { type OptionValues, option } from "../config/options.ts";
import { AppError } from "../core/errors.ts";
import { isLoopbackHost } from "./loopback.ts";

/** Ways to tell who asks. */
export const AUTH_KINDS = ["local", "none", "token", "oidc", "cloud-run-iam"] as const;
export type AuthKind = (typeof AUTH_KINDS)[number];

/** An e-mail address, a domain with or without an @ before it, or a star for everyone. */
const ALLOWED = /^(\*|[^@\s]*@[^@\s]+|[^@\s]+\.[^@\s]+)$/;

export const AUTH_OPTIONS = {
  auth: option(oneOf(AUTH_KINDS, "KIND"), {
    flag: "--auth",
    env: "DBT_SERVER_AUTH",
    defaultText: "local on a loopback address; elsewhere it has to be said",
    help: "Who may use the server. local: this user on this machine; token: whoever has DBT_SERVER_TOKEN; oidc: whom an issuer of ID tokens knows; cloud-run-iam: whom Cloud Run lets in; none: anyone on this machine.",
  }),
  token: option(text("TOKEN"), {
    env: "DBT_SERVER_TOKEN",
    isSecret: true,
    help: "The token that --auth token asks for; at least 16 characters.",
  }),
  oidcIssuer: option(list("URL", /^\S+$/, "a list of URLs"), {
    flag: "--oidc-issuer",
    env: "DBT_SERVER_OIDC_ISSUER",
    default: [],
    defaultText: "none",
    help: "With --auth oidc: who issues the ID tokens, such as https://accounts.google.com.",
  }),
  oidcAudience: option(list("TEXT", /^\S+$/, "a list of audiences"), {
    flag: "--oidc-audience",
    env: "DBT_SERVER_OIDC_AUDIENCE",
    default: [],
    defaultText: "none",
    help: "With --auth oidc: for whom they are issued; the server's own URL, and 32555940559.apps.googleusercontent.com for people who use gcloud.",
  }),
  oidcJwksUrl: option(text("URL"), {
    flag: "--oidc-jwks-url",
    env: "DBT_SERVER_OIDC_JWKS_URL",
    defaultText: "the one that the issuer names",
    help: "With --auth oidc: where the issuer's public keys are.",
  }),
  allowedEmails: option(list("EMAIL", ALLOWED, "a list of e-mail addresses or domains"), {
    flag: "--allowed-emails",
    env: "DBT_SERVER_ALLOWED_EMAILS",
    default: [],
    defaultText: "with cloud-run-iam everyone whom Cloud Run lets in",
    help: "With --auth oidc or cloud-run-iam: who of those may use the server, as ada@example.org or @example.org; * for all.",
  }),
} as const;

/** What the checks of ID tokens need to know. */
export interface IdentitySettings {
  readonly issuers: readonly string[];
  readonly audiences: readonly string[];
  readonly jwksUrl: string | undefined;
  /** E-mail addresses, domains, or a star. Empty: everyone whom the layer before has let in. */
  readonly allowed: readonly string[];
}

export interface AuthSettings {
  readonly auth: AuthKind;
  readonly token: string | undefined;
  readonly identity: IdentitySettings;
}

const SHORTEST_TOKEN = 16;

/** Checks what was said of who may use the server. Throws `bad_argument` with the next step. */
export function authSettings(
  values: OptionValues<typeof AUTH_OPTIONS>,
  host: string,
  env: Readonly<Record<string, string | undefined>>,
): AuthSettings {
  const loopback = isLoopbackHost(host);
  if (values.auth === undefined && !loopback) {
    throw refused(
      `On ${host}, who may use the server has to be said.`,
      "Set DBT_SERVER_TOKEN and add --auth token, or listen on --host 127.0.0.1",
    );
  }
  const auth = values.auth ?? "local";
  if ((auth === "local" || auth === "none") && !loopback) {
    throw refused(
      `--auth ${auth} works on a loopback address only, and ${host} is none.`,
      "Listen on --host 127.0.0.1, or set DBT_SERVER_TOKEN and use --auth token",
    );
  }
  if (auth === "token") checkToken(values.token);
  if (auth === "oidc") checkOidc(values);
  if (auth === "cloud-run-iam" && (env["K_SERVICE"] ?? "") === "") {
    throw refused(
      "--auth cloud-run-iam works in a Cloud Run service only, which K_SERVICE would name: elsewhere nobody checks the tokens.",
      "Use --auth oidc, --auth token or, on a loopback address, --auth local",
    );
  }
  return {
    auth,
    token: values.token,
    identity: {
      issuers: values.oidcIssuer,
      audiences: values.oidcAudience,
      jwksUrl: values.oidcJwksUrl,
      allowed: values.allowedEmails,
    },
  };
}

function checkToken(token: string | undefined): void {
  if (token !== undefined && token.length >= SHORTEST_TOKEN && !/[^\x21-\x7e]/.test(token)) return;
  const problem = token === undefined ? "is not set" : "is no token of 16 or more characters without blanks";
  throw refused(
    `--auth token: DBT_SERVER_TOKEN ${problem}.`,
    "For example: export DBT_SERVER_TOKEN=$(openssl rand -hex 32)",
  );
}

function checkOidc({ oidcIssuer, oidcAudience, oidcJwksUrl, allowedEmails }: OptionValues<typeof AUTH_OPTIONS>): void {
  const needs = (name: string, example: string) =>
    refused(`--auth oidc needs ${name}, which is not set.`, `For example: export ${name}=${example}`);
  if (oidcIssuer.length === 0) throw needs("DBT_SERVER_OIDC_ISSUER", "https://accounts.google.com");
  if (oidcAudience.length === 0) throw needs("DBT_SERVER_OIDC_AUDIENCE", "https://dbt.example.org");
  // Issuers such as Google's know the whole world: who of it may come in has to be said.
  if (allowedEmails.length === 0) throw needs("DBT_SERVER_ALLOWED_EMAILS", "@example.org");
  for (const url of [...oidcIssuer, ...(oidcJwksUrl === undefined ? [] : [oidcJwksUrl])]) {
    if (isSafeUrl(url) || (url === "accounts.google.com" && url !== oidcJwksUrl)) continue;
    throw refused(
      `--auth oidc: ${url.slice(0, 200)} is no https:// URL, so that anyone on the way could say who is who.`,
      "For example: export DBT_SERVER_OIDC_ISSUER=https://accounts.google.com",
    );
  }
}

/** Whether nobody on the way to this URL can change what it answers. */
export function isSafeUrl(url: string): boolean {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  return parsed?.protocol === "https:" || (parsed?.protocol === "http:" && isLoopbackHost(parsed.hostname));
}

function refused(message: string, hint: string): AppError {
  return new AppError("bad_argument", message, { hint });
}
