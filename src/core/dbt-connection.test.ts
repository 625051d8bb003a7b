import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parse } from "yaml";
import { credentialValues, filesNamed, warehouseFile, warehouseFiles } from "./dbt-connection.ts";

const ENV = { PW: "from-env", FILE: "env.duckdb", EMPTY: "" };

/** connection → the values to scrub. */
const CREDENTIALS: readonly [yaml: string, values: string[]][] = [
  ["{type: postgres, user: u, password: p1, host: h, port: 5432}", ["p1"]],
  ["{type: postgres, pass: 12345}", ["12345"]],
  ["{type: postgres, password: \"{{ env_var('PW') }}\"}", ["from-env"]],
  ["{type: postgres, password: \"{{ env_var('PW') | upper }}\"}", ["from-env"]],
  ["{type: postgres, password: \"{{ env_var('NONE') }}\"}", []],
  ["{type: postgres, password: ''}", []],
  ["{type: snowflake, private_key: k, private_key_passphrase: pp, private_key_path: f, authenticator: a}", ["k", "pp"]],
  ["{type: databricks, token: t, client_id: c, client_secret: s, auth_type: oauth}", ["t", "s"]],
  [
    "{type: bigquery, keyfile_json: {type: service_account, private_key_id: i, private_key: k, token_uri: u}}",
    ["i", "k"],
  ],
  [`{type: bigquery, keyfile_json: '{"private_key": "k"}'}`, ['{"private_key": "k"}', "k"]],
  ["{type: bigquery, refresh_token: r, token_uri: u, client_id: c, client_secret: s}", ["r", "s"]],
  ["{type: athena, aws_access_key_id: i, aws_secret_access_key: s, aws_session_token: t}", ["s", "t"]],
  ["{type: duckdb, path: 'md:db?motherduck_token=mt&x=1'}", ["mt"]],
  ["{type: duckdb, settings: {motherduck_token: mt, threads: 4}}", ["mt"]],
  ["{type: duckdb, secrets: [{type: s3, key_id: i, secret: s}, {type: azure, connection_string: c}]}", ["s", "c"]],
  ["{type: duckdb, attach: [{path: 'postgres://u:pw@h/db'}, {path: 'host=h password=pw2 user=u'}]}", ["pw", "pw2"]],
  ["{type: duckdb, attach: [{path: \"postgres://u:{{ env_var('PW') }}@h/db\"}]}", ["from-env"]],
  ["{type: trino, http_headers: {Authorization: Basic x}, method: jwt, jwt_token: j}", ["Basic x", "j"]],
  ["{type: x, tokens: [a, b], token: [a, b]}", ["a", "b"]],
];

for (const [yaml, values] of CREDENTIALS) {
  test(`credentials of ${yaml}`, () => assert.deepEqual(credentialValues(parse(yaml), ENV), values));
}

/** connection → `field path`. */
const FILES: readonly [yaml: string, files: string[]][] = [
  ["{type: bigquery, keyfile: /k.json}", ["keyfile /k.json"]],
  ["{type: bigquery, keyfile: \"{{ env_var('FILE') }}\"}", ["keyfile env.duckdb"]],
  ["{type: bigquery, keyfile: \"{{ env_var('NONE') }}\"}", ["keyfile {{ env_var('NONE') }}"]],
  ["{type: snowflake, private_key_path: k.p8, private_key: x}", ["private_key_path k.p8"]],
  ["{type: postgres, sslcert: c, sslkey: k, sslrootcert: system}", ["sslcert c", "sslkey k"]],
  ["{type: duckdb, plugins: [{module: gsheet, config: {keyfile: g.json}}]}", ["plugins.0.config.keyfile g.json"]],
  ["{type: x, cert: '-----BEGIN CERTIFICATE-----'}", []],
  ["{type: duckdb, path: x.duckdb}", []],
];

for (const [yaml, files] of FILES) {
  test(`files of ${yaml}`, () => {
    assert.deepEqual(
      filesNamed(parse(yaml), ENV).map(({ field, path }) => `${field} ${path}`),
      files,
    );
  });
}

/** connection → all database files. */
const WAREHOUSES: readonly [yaml: string, files: string[]][] = [
  ["{type: duckdb}", []],
  ["{type: duckdb, path: ':memory:'}", []],
  ["{type: duckdb, path: ':memory:shared'}", []],
  ["{type: duckdb, path: dev.duckdb}", ["dev.duckdb"]],
  ["{type: duckdb, path: ../x/dev.duckdb}", ["../x/dev.duckdb"]],
  ["{type: duckdb, path: /abs/dev.duckdb}", ["/abs/dev.duckdb"]],
  ["{type: duckdb, path: 'C:\\dev.duckdb'}", ["C:\\dev.duckdb"]],
  ["{type: duckdb, path: \"{{ env_var('FILE') }}\"}", ["env.duckdb"]],
  ["{type: duckdb, path: \"{{ env_var('EMPTY') }}\"}", []],
  ["{type: duckdb, path: \"{{ var('x') }}\"}", ["{{ var('x') }}"]],
  ["{type: duckdb, path: 'md:db'}", []],
  ["{type: duckdb, path: 'motherduck:db'}", []],
  ["{type: duckdb, path: 's3://b/x.duckdb'}", []],
  ["{type: duckdb, path: 'ducklake:meta.ducklake'}", ["meta.ducklake"]],
  ["{type: duckdb, path: 'ducklake:postgres:dbname=x'}", []],
  [
    "{type: duckdb, attach: [{path: a.duckdb}, {path: b.db, type: sqlite}, {path: x, type: postgres}]}",
    ["a.duckdb", "b.db"],
  ],
  ["{type: sqlite, schemas_and_paths: {other: o.db, main: m.db}}", ["m.db", "o.db"]],
  ["{type: postgres, path: x}", []],
  ["1", []],
];

for (const [yaml, files] of WAREHOUSES) {
  test(`database files of ${yaml}`, () => {
    assert.deepEqual(warehouseFiles(parse(yaml), ENV), files);
    assert.equal(warehouseFile(parse(yaml), ENV), files[0] ?? null);
  });
}

test("any value is read without throwing", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      credentialValues({ type: "duckdb", password: value, attach: value }, {});
      filesNamed(value, {});
      warehouseFiles(value, {});
    }),
  );
});
