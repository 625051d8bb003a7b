/** dbt with the adapter that Google Cloud's image has by default. */
import { pythonVenv, type Venv } from "./python-venv.ts";

export function bigqueryVenv(): Venv {
  return pythonVenv({
    name: "bigquery",
    packages: ["dbt-core~=1.11.0", "dbt-bigquery~=1.11.0"],
    pythons: ["python3.12", "python3.11", "python3.10"],
  });
}
