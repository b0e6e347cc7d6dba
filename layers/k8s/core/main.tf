locals {
  # Two names may join to the same text ("a-b" and "c", "a" and "b-c"), and a namespace has at most
  # 63 characters: the hash tells them apart.
  joined    = "${var.project}-${var.environment}"
  hash      = substr(sha256("${var.project}/${var.environment}"), 0, 8)
  namespace = "${trim(substr(local.joined, 0, 54), "-")}-${local.hash}"
}

# All that a run makes lies in one namespace: two runs don't meet, and its end is the end of them all.
resource "kubernetes_namespace_v1" "run" {
  metadata {
    name = local.namespace
    labels = {
      "app.kubernetes.io/managed-by"       = "infra-gym"
      "infra-gym/project"                  = var.project
      "infra-gym/environment"              = var.environment
      "pod-security.kubernetes.io/enforce" = "restricted"
      "pod-security.kubernetes.io/warn"    = "restricted"
    }
    annotations = {
      "infra-gym/owner"   = var.owner
      "infra-gym/expires" = var.expires
    }
  }

  # Pods cannot start before it is there.
  wait_for_default_service_account = true
}
