locals {
  # What dbt-remote looks for among the services of a project.
  service_labels = { "dbt-server" = "true" }

  database = "dbt-remote"
  job      = "dbt-remote"
  bucket   = var.bucket_name == "" ? "${var.project_id}-dbt-remote" : var.bucket_name

  state_env = {
    DBT_SERVER_STATE   = "gcp"
    PROJECT_ID         = var.project_id
    LOCATION           = var.location
    BUCKET_NAME        = local.bucket
    FIRESTORE_DATABASE = local.database
  }
}

resource "google_project_service" "apis" {
  for_each = toset([
    "cloudscheduler.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ])

  service            = each.value
  disable_on_destroy = false
}

resource "google_service_account" "server" {
  account_id   = "dbt-server"
  display_name = "dbt-server"
}

resource "google_service_account" "job" {
  account_id   = "dbt-job"
  display_name = "dbt-job, and the tick that wakes the server"
}
