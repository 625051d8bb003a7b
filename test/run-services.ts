/** Google's list of a project's Cloud Run services, and services of every kind, each of which writes down what it is sent. */
import { type HttpStandIn, type SeenRequest, type StandInAnswer, startHttpStandIn } from "./http-stand-in.ts";

export interface ListedService {
  readonly name: string;
  readonly url: string;
  readonly region?: string;
  readonly isLabelled?: boolean;
}

export interface RunApiOptions {
  /** Regions can't be asked all at once: they are listed first, and asked one by one. */
  readonly isPerRegion?: boolean;
  /** This one of them can't be asked now. */
  readonly failingRegion?: string;
  /** Answers every request with this in place of a list. */
  readonly refusal?: StandInAnswer;
}

/** Of the project `shop`. */
export function startRunApi(services: readonly ListedService[], options: RunApiOptions = {}): Promise<HttpStandIn> {
  const regionOf = ({ region = "europe-west1" }: ListedService): string => region;
  const resource = (service: ListedService) => ({
    name: `projects/shop/locations/${regionOf(service)}/services/${service.name}`,
    uri: service.url,
    ...(service.isLabelled && { labels: { "dbt-server": "true" } }),
  });
  return startHttpStandIn(({ url }): StandInAnswer => {
    if (options.refusal !== undefined) return options.refusal;
    if (url === "/v1/projects/shop/locations") {
      return { body: { locations: [...new Set(services.map(regionOf))].map((locationId) => ({ locationId })) } };
    }
    const [, region] = /^\/v2\/projects\/shop\/locations\/([^/]+)\/services(?:\?|$)/.exec(url) ?? [];
    if (region === undefined) return { status: 404, body: { error: { message: "no such project" } } };
    if (region === "-" && options.isPerRegion) return { status: 400, body: { error: { message: "bad location" } } };
    if (region === options.failingRegion) return { status: 503, body: { error: { message: "unavailable" } } };
    const found = services.filter((service) => region === "-" || regionOf(service) === region);
    // Google leaves out an empty list.
    return { body: found.length === 0 ? {} : { services: found.map(resource) } };
  });
}

const RUNNING: StandInAnswer = { body: { response: "Running dbt-server on port 8080" } };

type Answers = (request: SeenRequest) => StandInAnswer;

const DECOYS: Record<
  "website" | "boaster" | "list" | "redirect" | "endless" | "broken" | "cut" | "silent" | "angry",
  Answers
> = {
  website: () => ({ headers: { "content-type": "text/html" }, body: "<html>Running dbt-server on port 8080</html>" }),
  boaster: () => ({ body: { response: "Not Running dbt-server on port 8080!" } }),
  list: () => ({ body: [{ response: "Running dbt-server on port 8080" }] }),
  redirect: () => ({ status: 302, headers: { location: "https://accounts.google.com/" } }),
  endless: () => ({ body: "x".repeat(1_000_000) }),
  broken: () => ({ fault: "reset" }),
  cut: () => ({ ...RUNNING, fault: "cut-body" }),
  silent: () => ({ fault: "silence" }),
  angry: () => ({ status: 500, body: "oops" }),
};

/** What a service does with `GET /check`, by name. */
export const SERVICES = {
  dbtServer: () => RUNNING,
  /** Behind Cloud Run's check: Google answers in its place, in HTML. */
  behindIam:
    (token: () => string) =>
    ({ headers }: SeenRequest): StandInAnswer => {
      const shown = headers["x-serverless-authorization"] ?? headers["authorization"];
      if (shown === `Bearer ${token()}`) return RUNNING;
      return { status: shown === undefined ? 403 : 401, body: "<html><title>403 Forbidden</title></html>" };
    },
  wantsToken: () => ({ status: 403, body: "<html>Forbidden</html>" }),
  ...DECOYS,
} as const;

/** Every token that any of these services was ever shown. */
export function shownTokens(services: readonly HttpStandIn[]): string[] {
  return services.flatMap(({ seen }) =>
    seen.flatMap(({ headers, url, body }) => {
      const values = Object.values(headers).flatMap((value) => value ?? []);
      return [...values, url, body.toString()].filter((text) => /bearer|token|eyJ|authorization/i.test(text));
    }),
  );
}
