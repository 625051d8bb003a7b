variable "project_id" {
  type        = string
  description = "The Google Cloud project."
}

variable "location" {
  type        = string
  description = "The region of service, Jobs, bucket and database, such as europe-west1."
}

variable "image" {
  type        = string
  description = "The image made of Dockerfile, such as europe-west1-docker.pkg.dev/my-project/dbt/dbt-remote:1."
}

variable "invokers" {
  type        = list(string)
  description = "Who may use the server, such as group:data@example.org or serviceAccount:ci@my-project.iam.gserviceaccount.com."
  default     = []
}

variable "show_service_to_invokers" {
  type        = bool
  description = "Whether they may list the project's services, so that dbt-remote finds the server by itself."
  default     = true
}

variable "bucket_name" {
  type        = string
  description = "The bucket of logs, artifacts and files; empty: PROJECT_ID-dbt-remote."
  default     = ""
}

variable "bigquery" {
  type        = bool
  description = "Whether the jobs' account may read and write every dataset of the project. Off: grant it what it needs yourself."
  default     = true
}

variable "job_cpu" {
  type    = string
  default = "1"
}

variable "job_memory" {
  type    = string
  default = "2Gi"
}

variable "task_timeout_seconds" {
  type        = number
  description = "As long as a run may take."
  default     = 21600
}

variable "job_env" {
  type        = map(string)
  description = "Further variables of the jobs' container that dbt may see."
  default     = {}
}

variable "deletion_protection" {
  type        = bool
  description = "Whether Terraform refuses to delete what holds State."
  default     = true
}

variable "secrets" {
  type        = list(string)
  description = "Ids of the secrets of Secret Manager that jobs may read: those of --profiles-secret and --secret-env."
  default     = []
}
