/** The check of who asks, as the settings say; loads only the one that is used. */
import { type Auth, createAuth } from "./auth.ts";
import type { AuthSettings } from "./auth-options.ts";
import { checkOwnService, type OwnService } from "./own-service.ts";

export interface OpenAuthParams {
  readonly settings: AuthSettings;
  /** Of the registration file, where the server is this user's own. */
  readonly localToken: string | undefined;
  /** Of the process: `K_SERVICE` is the name of the Cloud Run service that this is. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What Google says of a service. */
  readonly readService: (service: string) => Promise<OwnService>;
  readonly now: () => number;
  readonly say: (line: string) => void;
  /** Only where details are asked for. */
  readonly debug?: (line: string) => void;
}

/** Rejects with `bad_argument` where the server must not start so. */
export async function openAuth(params: OpenAuthParams): Promise<Auth> {
  const { settings, localToken, env, readService, now, say, debug } = params;
  const { auth, token, identity } = settings;
  switch (auth) {
    case "none":
      return createAuth(auth, null);
    case "local":
      return createAuth(auth, localToken ?? null);
    case "token":
      return createAuth(auth, token ?? null);
    case "oidc": {
      const { createOidcAuth } = await import("./oidc-auth.ts");
      return createOidcAuth({ identity, now, onRefused: (why) => debug?.(`an ID token was refused: ${why}`) });
    }
    case "cloud-run-iam": {
      const service = env["K_SERVICE"] ?? "";
      await checkOwnService(service, () => readService(service), say);
      const { createCloudRunIamAuth } = await import("./cloud-run-iam-auth.ts");
      return createCloudRunIamAuth({ allowed: identity.allowed, now });
    }
  }
}
