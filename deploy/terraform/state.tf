# Everything large or immutable.
resource "google_storage_bucket" "state" {
  name                        = local.bucket
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  # Else a deleted envelope stays readable for a week, and joined logs are paid for twice.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # Envelopes that nobody took. Nothing else has an age rule: `dbt-server gc` knows what is named.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 1
      matches_prefix = ["envelopes/"]
    }
  }

  depends_on = [google_project_service.apis]
}

resource "google_firestore_database" "state" {
  name                    = local.database
  location_id             = var.location
  type                    = "FIRESTORE_NATIVE"
  delete_protection_state = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = var.deletion_protection ? "ABANDON" : "DELETE"

  depends_on = [google_project_service.apis]
}

locals {
  # One file for both ways to deploy.
  firestore = jsondecode(file("${path.module}/../firestore.indexes.json"))
}

resource "google_firestore_index" "queries" {
  for_each = {
    for index in local.firestore.indexes :
    join(".", concat([index.collectionGroup], [for field in index.fields : field.fieldPath])) => index
  }

  database    = google_firestore_database.state.name
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path = fields.value.fieldPath
      order      = fields.value.order
    }
  }
}

# No index on fields that no query names, and a time at which Firestore forgets.
resource "google_firestore_field" "overrides" {
  for_each = { for field in local.firestore.fieldOverrides : "${field.collectionGroup}.${field.fieldPath}" => field }

  database   = google_firestore_database.state.name
  collection = each.value.collectionGroup
  field      = each.value.fieldPath

  dynamic "ttl_config" {
    for_each = try(each.value.ttl, false) ? [true] : []
    content {}
  }

  index_config {}
}
