/** Options of dbt-remote on which server it talks to, and as whom. */
import { TALKING } from "./cli-scopes.ts";
import { flag, text, url } from "./option-kinds.ts";
import { option } from "./options.ts";

export const SERVER_CHOICE_OPTIONS = {
  serverUrl: option(url(), {
    flag: "--server-url",
    env: "DBT_SERVER_URL",
    key: "server_url",
    defaultText: "the local server, then detection on Google Cloud",
    help: "The dbt-server to talk to.",
    scopes: TALKING,
    needsTrust: true,
  }),
  token: option(text("TOKEN"), {
    flag: "--token",
    env: "DBT_SERVER_TOKEN",
    isSecret: true,
    defaultText: "an ID token where the server wants one",
    help: "Token to present to the server. Prefer the environment variable: arguments can be read by others.",
    scopes: TALKING,
  }),
  projectId: option(text("ID"), {
    flag: "--project-id",
    env: "PROJECT_ID",
    key: "project_id",
    defaultText: "gcloud's project",
    help: "Google Cloud project to look for a server in.",
    scopes: TALKING,
    needsTrust: true,
  }),
  location: option(text("REGION"), {
    flag: "--location",
    env: "LOCATION",
    key: "location",
    defaultText: "every region",
    help: "Google Cloud region to look for a server in.",
    scopes: TALKING,
    needsTrust: true,
  }),
  trustProjectConfig: option(flag(), {
    flag: "--trust-project-config",
    env: "DBT_REMOTE_TRUST_PROJECT_CONFIG",
    default: false,
    help: "Trust the server that the project's dbt_remote.yml names, without asking.",
    scopes: TALKING,
  }),
  trustServer: option(flag(), {
    flag: "--trust-server",
    env: "DBT_REMOTE_TRUST_SERVER",
    default: false,
    help: "Show a server of Google Cloud who you are, and use it from now on, without asking.",
    scopes: TALKING,
  }),
} as const;
