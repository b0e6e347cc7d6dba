locals {
  name = "heater"
  port = 8080

  # An image that was baked has its program at the same place.
  baked   = var.apps_folder == ""
  program = local.baked ? "" : fileexists("${var.apps_folder}/heater.py") ? file("${var.apps_folder}/heater.py") : ""

  # A query of each request is asked by a second program, which lies beside the first.
  asks     = var.query != ""
  asking   = local.asks && !local.baked ? file("${var.apps_folder}/postgresql.py") : ""
  programs = merge({ "heater.py" = local.program }, local.asking == "" ? {} : { "postgresql.py" = local.asking })
  database = try(regex("^(?P<host>[^:]+):(?P<port>[0-9]+)$", var.database), { host = "", port = "" })
  login    = { PGUSER = "username", PGDATABASE = "database", PGPASSWORD = "password" }

  # A pod whose size is set asks for all of it: what the scheduler gives away is what is paid for.
  cpu_request = var.cpu_millicores == null ? var.cpu_request : "${var.cpu_millicores}m"
  cpu_limit   = var.cpu_millicores == null ? var.cpu_limit : "${var.cpu_millicores}m"

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
  data = local.programs

  lifecycle {
    precondition {
      condition     = local.program != ""
      error_message = "There is no heater.py in apps_folder; leave it \"\" where the image has the program."
    }
  }
}

resource "kubernetes_deployment_v1" "heater" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  # What becomes of the pods is for the observer to see, not for the apply to wait for.
  wait_for_rollout = false

  spec {
    replicas = var.replicas

    selector {
      match_labels = { "app.kubernetes.io/name" = local.name }
    }

    template {
      metadata {
        labels = local.labels
        # Another program rolls the pods.
        annotations = { "infra-gym/program" = sha256(join("", values(local.programs))) }
      }

      spec {
        automount_service_account_token  = false
        enable_service_links             = false
        termination_grace_period_seconds = ceil(var.drain_s) + 30
        node_selector                    = var.pool == "" ? null : { "infra-gym/pool" = var.pool }

        dynamic "toleration" {
          for_each = var.pool == "" ? [] : [var.pool]
          content {
            key    = "infra-gym/pool"
            value  = toleration.value
            effect = "NoSchedule"
          }
        }

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
          command = concat([
            "python3", "-IS", "/app/heater.py",
            "--host", "0.0.0.0",
            "--port", tostring(local.port),
            "--slots", tostring(var.slots),
            "--service-time", tostring(var.service_time_s),
            "--queue-limit", tostring(var.queue_limit),
            "--work", var.work,
            "--drain", tostring(var.drain_s),
            "--start-delay", tostring(var.start_delay_s),
            ], local.asks ? [
            "--query", var.query,
            "--query-connections", tostring(var.query_connections),
          ] : [])

          dynamic "env" {
            for_each = local.asks ? { PGHOST = local.database.host, PGPORT = local.database.port } : {}
            content {
              name  = env.key
              value = env.value
            }
          }

          dynamic "env" {
            for_each = local.asks ? local.login : {}
            content {
              name = env.key
              value_from {
                secret_key_ref {
                  name = var.database_secret
                  key  = env.value
                }
              }
            }
          }

          port {
            name           = "http-metrics"
            container_port = local.port
          }

          resources {
            requests = { cpu = local.cpu_request, memory = var.memory }
            limits   = { cpu = local.cpu_limit, memory = var.memory }
          }

          readiness_probe {
            http_get {
              path = "/ready"
              port = "http-metrics"
            }
            period_seconds    = 1
            timeout_seconds   = 2
            failure_threshold = 3
          }

          liveness_probe {
            http_get {
              path = "/healthz"
              port = "http-metrics"
            }
            period_seconds    = 10
            timeout_seconds   = 5
            failure_threshold = 6
          }

          lifecycle {
            # Says not ready at once; work is taken until SIGTERM and drain_s seconds more.
            pre_stop {
              http_get {
                path = "/drain"
                port = "http-metrics"
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

resource "kubernetes_service_v1" "heater" {
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
