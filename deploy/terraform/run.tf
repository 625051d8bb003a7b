resource "google_cloud_run_v2_service" "server" {
  name                = "dbt-server"
  location            = var.location
  labels              = local.service_labels
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = false

  template {
    service_account = google_service_account.server.email
    # Streams of logs: dbt-remote resumes where one ends.
    timeout                          = "3600s"
    max_instance_request_concurrency = 200

    scaling {
      min_instance_count = 0
      max_instance_count = 10
    }

    containers {
      image = var.image

      resources {
        limits            = { cpu = "1", memory = "1Gi" }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      startup_probe {
        http_get {
          path = "/check"
        }
        period_seconds    = 1
        failure_threshold = 60
      }

      dynamic "env" {
        for_each = merge(local.state_env, {
          DBT_SERVER_EXECUTOR     = "cloud-run"
          DBT_SERVER_AUTH         = "cloud-run-iam"
          DBT_SERVER_JOB_PROFILES = "default=${local.job}"
          # Nothing runs in the server's own container.
          DBT_SERVER_WARM = "off"
        })
        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  depends_on = [google_project_service.apis, google_firestore_database.state, google_storage_bucket.state]
}

# One Job; each run is an execution of it.
resource "google_cloud_run_v2_job" "job" {
  name                = local.job
  location            = var.location
  labels              = { "dbt-remote" = "job" }
  deletion_protection = false

  template {
    task_count = 1

    template {
      service_account = google_service_account.job.email
      timeout         = "${var.task_timeout_seconds}s"
      # Google's default of 3 would run dbt four times.
      max_retries = 0

      containers {
        image   = var.image
        command = ["dbt-job"]

        resources {
          limits = { cpu = var.job_cpu, memory = var.job_memory }
        }

        dynamic "env" {
          for_each = merge(var.job_env, local.state_env, {
            DBT_SERVER_JOB_ENV   = join(",", keys(var.job_env))
            DBT_JOB_TASK_TIMEOUT = "${var.task_timeout_seconds}s"
            DBT_JOB_WAKE_URL     = google_cloud_run_v2_service.server.uri
          })
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }
}

# For the times when nobody asks: looks after runs whose job is gone, and launches those that wait.
resource "google_cloud_scheduler_job" "tick" {
  name             = "dbt-server-tick"
  region           = var.location
  schedule         = "*/5 * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "180s"

  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = "${google_cloud_run_v2_service.server.uri}/api/v1/reconcile"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode("{}")

    oidc_token {
      service_account_email = google_service_account.job.email
      audience              = google_cloud_run_v2_service.server.uri
    }
  }

  depends_on = [google_project_service.apis]
}
