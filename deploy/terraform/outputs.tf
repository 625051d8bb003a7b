output "server_url" {
  description = "For --server-url, where dbt-remote does not find it by itself."
  value       = google_cloud_run_v2_service.server.uri
}

output "job_account" {
  description = "As whom dbt reaches the warehouse."
  value       = google_service_account.job.email
}
