# Each account has what it needs and no more; docs/google-cloud-identity.md says what for.

locals {
  accounts = {
    server = google_service_account.server.member
    job    = google_service_account.job.member
  }
}

# State: records in this database, objects in this bucket.
resource "google_project_iam_member" "records" {
  for_each = local.accounts

  project = var.project_id
  role    = "roles/datastore.user"
  member  = each.value

  condition {
    title      = "dbt-remote's database"
    expression = "resource.name == \"projects/${var.project_id}/databases/${local.database}\""
  }
}

resource "google_storage_bucket_iam_member" "objects" {
  for_each = local.accounts

  bucket = google_storage_bucket.state.name
  role   = "roles/storage.objectUser"
  member = each.value
}

# The server launches, looks after and ends executions of the one Job.
resource "google_cloud_run_v2_job_iam_member" "launch" {
  name     = google_cloud_run_v2_job.job.name
  location = var.location
  role     = "roles/run.developer"
  member   = local.accounts.server
}

# It looks who is let in, and refuses to start where that is everybody.
resource "google_cloud_run_v2_service_iam_member" "look" {
  name     = google_cloud_run_v2_service.server.name
  location = var.location
  role     = "roles/run.viewer"
  member   = local.accounts.server
}

# People and CI; the job that ends and the tick wake the server.
resource "google_cloud_run_v2_service_iam_member" "invoke" {
  for_each = merge({ job = local.accounts.job }, { for member in var.invokers : member => member })

  name     = google_cloud_run_v2_service.server.name
  location = var.location
  role     = "roles/run.invoker"
  member   = each.value
}

# With it dbt-remote finds the server without being told.
resource "google_project_iam_member" "find" {
  for_each = toset(var.show_service_to_invokers ? var.invokers : [])

  project = var.project_id
  role    = "roles/run.viewer"
  member  = each.value
}

# dbt itself.
resource "google_project_iam_member" "bigquery" {
  for_each = toset(var.bigquery ? ["roles/bigquery.jobUser", "roles/bigquery.dataEditor"] : [])

  project = var.project_id
  role    = each.value
  member  = local.accounts.job
}

# Secrets that the jobs read; the server never does.
resource "google_secret_manager_secret_iam_member" "read" {
  for_each = toset(var.secrets)

  project   = var.project_id
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = local.accounts.job
}
