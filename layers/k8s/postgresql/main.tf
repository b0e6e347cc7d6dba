locals {
  name = "postgresql"
  port = 5432
  user = "heater"

  labels = {
    "app.kubernetes.io/name"       = local.name
    "app.kubernetes.io/managed-by" = "infra-gym"
  }
}

# The password is made when the Secret is, and is nowhere else: a write-only argument is neither in
# the plan nor in the state. Raise the revision to make another.
resource "kubernetes_secret_v1" "login" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  data_wo = {
    username = local.user
    database = local.user
    password = uuid()
  }
  data_wo_revision = 1
}

resource "kubernetes_persistent_volume_claim_v1" "data" {
  count = var.storage == "" ? 0 : 1

  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  # Some classes bind only when the pod is there.
  wait_until_bound = false

  spec {
    access_modes       = ["ReadWriteOnce"]
    storage_class_name = var.storage_class == "" ? null : var.storage_class
    resources {
      requests = { storage = var.storage }
    }
  }
}

resource "kubernetes_deployment_v1" "postgresql" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  wait_for_rollout = false
  depends_on       = [kubernetes_secret_v1.login]

  spec {
    replicas = 1

    # Two servers must never have one volume.
    strategy {
      type = "Recreate"
    }

    selector {
      match_labels = { "app.kubernetes.io/name" = local.name }
    }

    template {
      metadata {
        labels = local.labels
      }

      spec {
        automount_service_account_token  = false
        enable_service_links             = false
        termination_grace_period_seconds = 30

        security_context {
          run_as_non_root = true
          run_as_user     = 999
          run_as_group    = 999
          fs_group        = 999
          seccomp_profile {
            type = "RuntimeDefault"
          }
        }

        container {
          name  = local.name
          image = var.image
          # No connection is kept for an administrator: the limit is what clients get.
          command = [
            "docker-entrypoint.sh", "postgres",
            "-c", "max_connections=${var.connection_limit}",
            "-c", "superuser_reserved_connections=0",
          ]

          dynamic "env" {
            for_each = { POSTGRES_USER = "username", POSTGRES_DB = "database", POSTGRES_PASSWORD = "password" }
            content {
              name = env.key
              value_from {
                secret_key_ref {
                  name = local.name
                  key  = env.value
                }
              }
            }
          }

          env {
            name  = "PGDATA"
            value = "/var/lib/postgresql/data/pgdata"
          }

          port {
            name           = "postgresql"
            container_port = local.port
          }

          resources {
            requests = { cpu = var.cpu_request, memory = var.memory }
            limits   = { cpu = var.cpu_limit, memory = var.memory }
          }

          # Answers as soon as the server listens on the network; the entry point's own first start,
          # which makes the database, does not.
          readiness_probe {
            tcp_socket {
              port = "postgresql"
            }
            period_seconds = 1
          }

          liveness_probe {
            tcp_socket {
              port = "postgresql"
            }
            initial_delay_seconds = 30
            period_seconds        = 10
            timeout_seconds       = 5
            failure_threshold     = 6
          }

          lifecycle {
            # SIGTERM would wait until every client has gone.
            pre_stop {
              exec {
                command = ["sh", "-c", "kill -INT 1"]
              }
            }
          }

          security_context {
            run_as_non_root            = true
            allow_privilege_escalation = false
            read_only_root_filesystem  = true
            capabilities {
              drop = ["ALL"]
            }
          }

          volume_mount {
            name       = "data"
            mount_path = "/var/lib/postgresql/data"
          }

          volume_mount {
            name       = "run"
            mount_path = "/var/run/postgresql"
          }

          volume_mount {
            name       = "temporary"
            mount_path = "/tmp"
          }
        }

        volume {
          name = "data"

          dynamic "persistent_volume_claim" {
            for_each = kubernetes_persistent_volume_claim_v1.data
            content {
              claim_name = persistent_volume_claim.value.metadata[0].name
            }
          }

          dynamic "empty_dir" {
            for_each = var.storage == "" ? [1] : []
            content {}
          }
        }

        volume {
          name = "run"
          empty_dir {}
        }

        volume {
          name = "temporary"
          empty_dir {}
        }
      }
    }
  }
}

resource "kubernetes_service_v1" "postgresql" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  wait_for_load_balancer = false

  spec {
    selector = { "app.kubernetes.io/name" = local.name }
    port {
      name        = "postgresql"
      port        = local.port
      target_port = "postgresql"
    }
  }
}
