/** The Cloud Run services that may be a dbt-server. Pure. */
import { SERVER_LABEL } from "../../core/google-labels.ts";

export interface Candidate {
  readonly name: string;
  readonly region: string;
  readonly url: string;
  readonly isLabelled: boolean;
}

/** As Google lists it: what is empty is left out. */
interface ListedService {
  readonly name?: string;
  readonly uri?: string;
  readonly urls?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

/** Those that can be reached by a URL over which a token may go. `mayBeUsed` says which those are. */
export function candidatesOf(services: readonly ListedService[], mayBeUsed: (url: string) => boolean): Candidate[] {
  return services.flatMap(({ name = "", uri = "", labels = {} }) => {
    const [, region, short] = /\/locations\/([^/]+)\/services\/([^/]+)$/.exec(name) ?? [];
    if (region === undefined || short === undefined || !URL.canParse(uri) || !mayBeUsed(uri)) return [];
    const isLabelled = labels[SERVER_LABEL.name] === SERVER_LABEL.value;
    return [{ name: short, region, url: new URL(uri).origin, isLabelled }];
  });
}

/** Whether one of the services is at this URL. */
export function hasUrl(services: readonly ListedService[], url: string): boolean {
  const { origin } = new URL(url);
  return services.some(({ uri = "", urls = [] }) =>
    [uri, ...urls].some((each) => URL.canParse(each) && new URL(each).origin === origin),
  );
}
