/** Labels on Google Cloud's resources, by which dbt-remote knows its own. */

/** On the Cloud Run service that is a dbt-server: clients look at such services first, and send them ID tokens. */
export const SERVER_LABEL = { name: "dbt-server", value: "true" } as const;
