locals {
  name = "gateway"
  port = 8080

  # Images that were baked have the programs at the same places.
  baked = var.apps_folder == ""
  programs = {
    for file in ["function.py", "openfaas_relay.py"] :
    file => local.baked ? "" : fileexists("${var.apps_folder}/${file}") ? file("${var.apps_folder}/${file}") : ""
  }

  labels = {
    "app.kubernetes.io/name"       = local.name
    "app.kubernetes.io/managed-by" = "infra-gym"
  }

  # What OpenFaaS knows its functions by; a factor of 0 keeps its own autoscaler's hands off.
  function_labels = {
    "app.kubernetes.io/managed-by" = "infra-gym"
    "faas_function"                = var.function
    "com.openfaas.scale.factor"    = "0"
  }
}

# --- the function, in OpenFaaS's namespace ---

resource "kubernetes_config_map_v1" "function" {
  count = local.baked ? 0 : 1

  metadata {
    name      = "${var.function}-program"
    namespace = var.function_namespace
    labels    = local.function_labels
  }
  data = { "function.py" = local.programs["function.py"] }

  lifecycle {
    precondition {
      condition     = local.programs["function.py"] != ""
      error_message = "There is no function.py in apps_folder; leave it \"\" where the image has the program."
    }
  }
}

resource "kubernetes_deployment_v1" "function" {
  metadata {
    name      = var.function
    namespace = var.function_namespace
    labels    = local.function_labels
  }

  # What becomes of the pods is for the observer to see, not for the apply to wait for.
  wait_for_rollout = false

  spec {
    replicas = var.replicas

    selector {
      match_labels = { faas_function = var.function }
    }

    template {
      metadata {
        labels = local.function_labels
        # Another program rolls the pods.
        annotations = { "infra-gym/program" = sha256(local.programs["function.py"]) }
      }

      spec {
        automount_service_account_token  = false
        enable_service_links             = false
        termination_grace_period_seconds = ceil(var.drain_s) + 30

        security_context {
          run_as_non_root = true
          run_as_user     = 65532
          run_as_group    = 65532
          seccomp_profile {
            type = "RuntimeDefault"
          }
        }

        container {
          name  = var.function
          image = var.image
          command = [
            "python3", "-IS", "/app/function.py",
            "--host", "0.0.0.0",
            "--port", tostring(local.port),
            "--slots", tostring(var.slots),
            "--service-time", tostring(var.service_time_s),
            "--queue-limit", tostring(var.queue_limit),
            "--cpu", tostring(var.cpu_s),
            "--memory", tostring(var.memory_mib),
            "--cpu-request", tostring(var.cpu_request),
            "--memory-request", tostring(var.memory_request_mib),
            "--drain", tostring(var.drain_s),
            "--start-delay", tostring(var.start_delay_s),
          ]

          port {
            name           = "http-metrics"
            container_port = local.port
          }

          resources {
            requests = { cpu = "${ceil(var.cpu_request * 1000)}m", memory = "${ceil(var.memory_request_mib)}Mi" }
            limits   = { cpu = var.cpu_limit, memory = var.memory_limit }
          }

          readiness_probe {
            http_get {
              path = "/ready"
              port = "http-metrics"
            }
            period_seconds    = 1
            failure_threshold = 1
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

          lifecycle {
            # Says not ready at once; calls are taken until SIGTERM and drain_s seconds more.
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
            for_each = kubernetes_config_map_v1.function
            content {
              name       = "program"
              mount_path = "/app"
              read_only  = true
            }
          }
        }

        dynamic "volume" {
          for_each = kubernetes_config_map_v1.function
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

resource "kubernetes_service_v1" "function" {
  metadata {
    name      = var.function
    namespace = var.function_namespace
    labels    = local.function_labels
  }

  wait_for_load_balancer = false

  spec {
    selector = { faas_function = var.function }
    port {
      name        = "http"
      port        = local.port
      target_port = "http-metrics"
    }
  }
}

# --- what its gateway counts, for the Prometheus of the run ---

resource "kubernetes_config_map_v1" "relay" {
  count = local.baked ? 0 : 1

  metadata {
    name      = "${local.name}-program"
    namespace = var.namespace
    labels    = local.labels
  }
  data = { "openfaas_relay.py" = local.programs["openfaas_relay.py"] }

  lifecycle {
    precondition {
      condition     = local.programs["openfaas_relay.py"] != ""
      error_message = "There is no openfaas_relay.py in apps_folder; leave it \"\" where the image has the program."
    }
  }
}

resource "kubernetes_deployment_v1" "relay" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  wait_for_rollout = false

  spec {
    replicas = 1

    # Two relays at once would tell everything twice.
    strategy {
      type = "Recreate"
    }

    selector {
      match_labels = { "app.kubernetes.io/name" = local.name }
    }

    template {
      metadata {
        labels      = local.labels
        annotations = { "infra-gym/program" = sha256(local.programs["openfaas_relay.py"]) }
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
            "python3", "-IS", "/app/openfaas_relay.py",
            "--host", "0.0.0.0",
            "--port", tostring(local.port),
            "--prometheus", var.openfaas_prometheus,
          ]

          port {
            name           = "http-metrics"
            container_port = local.port
          }

          resources {
            requests = { cpu = "50m", memory = "64Mi" }
            limits   = { cpu = "500m", memory = "64Mi" }
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
            for_each = kubernetes_config_map_v1.relay
            content {
              name       = "program"
              mount_path = "/app"
              read_only  = true
            }
          }
        }

        dynamic "volume" {
          for_each = kubernetes_config_map_v1.relay
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
