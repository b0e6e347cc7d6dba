data "digitalocean_kubernetes_versions" "offered" {
  version_prefix = var.version_prefix
}

resource "digitalocean_kubernetes_cluster" "run" {
  name     = var.name
  region   = var.region
  vpc_uuid = var.vpc_id
  version  = data.digitalocean_kubernetes_versions.offered.latest_version

  # From 1.36 on it would be true by itself, and cannot be taken back.
  ha = var.ha

  # Load balancers and volumes that Kubernetes made would survive the cluster, and be billed.
  destroy_all_associated_resources = true

  kubeconfig_expire_seconds = var.credentials_seconds

  # Its size cannot be changed without making the whole cluster anew: what agents scale is the other pool.
  node_pool {
    name       = "system"
    size       = var.system_size
    node_count = 1
  }

  timeouts {
    create = "30m"
  }

  lifecycle {
    # A version that came out meanwhile is no reason to upgrade in the middle of a run.
    ignore_changes = [version]
  }
}

# Kept for the app, so that the number of nodes is what limits it.
resource "digitalocean_kubernetes_node_pool" "app" {
  cluster_id = digitalocean_kubernetes_cluster.run.id
  name       = "app"
  size       = var.app_size
  node_count = var.nodes
  labels     = { "infra-gym/pool" = "app" }

  taint {
    key    = "infra-gym/pool"
    value  = "app"
    effect = "NoSchedule"
  }
}

resource "digitalocean_project_resources" "run" {
  project   = var.project_id
  resources = [digitalocean_kubernetes_cluster.run.urn]
}
