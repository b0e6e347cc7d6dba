locals {
  name = "siege-engine"
  port = 8080

  # An image that was baked has its program at the same place.
  baked   = var.apps_folder == ""
  program = local.baked ? "" : fileexists("${var.apps_folder}/siege_engine.py") ? file("${var.apps_folder}/siege_engine.py") : ""

  labels = {
    "app.kubernetes.io/name"       = local.name
    "app.kubernetes.io/managed-by" = "infra-gym"
  }
}

resource "kubernetes_config_map_v1" "program" {
  count = local.baked ? 0 : 1

  metadata {
    name      = "${local.name}-program"
    namespace = var.namespace
    labels    = local.labels
  }
  data = { "siege_engine.py" = local.program }

  lifecycle {
    precondition {
      condition     = local.program != ""
      error_message = "There is no siege_engine.py in apps_folder; leave it \"\" where the image has the program."
    }
  }
}

resource "kubernetes_deployment_v1" "engine" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  wait_for_rollout = false

  spec {
    replicas = 1

    # Two engines at once would send twice the load.
    strategy {
      type = "Recreate"
    }

    selector {
      match_labels = { "app.kubernetes.io/name" = local.name }
    }

    template {
      metadata {
        labels      = local.labels
        annotations = { "infra-gym/program" = sha256(local.program) }
      }

      spec {
        automount_service_account_token  = false
        enable_service_links             = false
        termination_grace_period_seconds = 5

        security_context {
          run_as_non_root = true
          run_as_user     = 65532
          run_as_group    = 65532
          seccomp_profile {
            type = "RuntimeDefault"
          }
        }

        container {
          name  = local.name
          image = var.image
          command = [
            "python3", "-IS", "/app/siege_engine.py",
            "--host", "0.0.0.0",
            "--port", tostring(local.port),
            "--target", var.target,
            "--timeout", tostring(var.timeout_s),
            "--max-in-flight", tostring(var.max_in_flight),
          ]

          port {
            name           = "http-metrics"
            container_port = local.port
          }

          resources {
            requests = { cpu = var.cpu_request, memory = var.memory }
            limits   = { cpu = var.cpu_limit, memory = var.memory }
          }

          readiness_probe {
            http_get {
              path = "/healthz"
              port = "http-metrics"
            }
            period_seconds = 1
          }

          liveness_probe {
            http_get {
              path = "/healthz"
              port = "http-metrics"
            }
            period_seconds    = 10
            timeout_seconds   = 5
            failure_threshold = 3
          }

          security_context {
            run_as_non_root            = true
            allow_privilege_escalation = false
            read_only_root_filesystem  = true
            capabilities {
              drop = ["ALL"]
            }
          }

          dynamic "volume_mount" {
            for_each = kubernetes_config_map_v1.program
            content {
              name       = "program"
              mount_path = "/app"
              read_only  = true
            }
          }
        }

        dynamic "volume" {
          for_each = kubernetes_config_map_v1.program
          content {
            name = "program"
            config_map {
              name = volume.value.metadata[0].name
            }
          }
        }
      }
    }
  }
}

resource "kubernetes_service_v1" "engine" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  wait_for_load_balancer = false

  spec {
    selector = { "app.kubernetes.io/name" = local.name }
    port {
      name        = "http"
      port        = local.port
      target_port = "http-metrics"
    }
  }
}
