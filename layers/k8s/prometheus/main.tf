locals {
  name           = "prometheus"
  port           = 9090
  discovery_port = 9091
  scrape         = "${floor(var.scrape_interval_s * 1000)}ms"

  labels = {
    "app.kubernetes.io/name"       = local.name
    "app.kubernetes.io/managed-by" = "infra-gym"
  }

  baked   = var.apps_folder == ""
  file    = "${var.apps_folder}/pod_targets.py"
  program = local.baked ? "" : fileexists(local.file) ? file(local.file) : ""

  # The program beside Prometheus tells which pods there are; they are asked for every second, though
  # Prometheus takes up what changed at most every 5 seconds.
  configuration = yamlencode({
    global = {
      scrape_interval = local.scrape
      scrape_timeout  = local.scrape
    }
    scrape_configs = [{
      job_name = "pods"
      http_sd_configs = [{
        url              = "http://127.0.0.1:${local.discovery_port}/"
        refresh_interval = "1s"
      }]
    }]
  })
}

resource "kubernetes_service_account_v1" "prometheus" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }
}

resource "kubernetes_role_v1" "prometheus" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  rule {
    api_groups = [""]
    resources  = ["pods"]
    verbs      = ["get", "list", "watch"]
  }
}

resource "kubernetes_role_binding_v1" "prometheus" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.prometheus.metadata[0].name
  }

  subject {
    kind      = "ServiceAccount"
    name      = kubernetes_service_account_v1.prometheus.metadata[0].name
    namespace = var.namespace
  }
}

resource "kubernetes_config_map_v1" "configuration" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }
  data = merge(
    { "prometheus.yml" = local.configuration },
    local.baked ? {} : { "pod_targets.py" = local.program },
  )

  lifecycle {
    precondition {
      condition     = local.baked || local.program != ""
      error_message = "There is no pod_targets.py in apps_folder; leave it \"\" where discovery_image has it."
    }
  }
}

resource "kubernetes_deployment_v1" "prometheus" {
  metadata {
    name      = local.name
    namespace = var.namespace
    labels    = local.labels
  }

  wait_for_rollout = false
  depends_on       = [kubernetes_role_binding_v1.prometheus]

  spec {
    replicas = 1

    strategy {
      type = "Recreate"
    }

    selector {
      match_labels = { "app.kubernetes.io/name" = local.name }
    }

    template {
      metadata {
        labels      = local.labels
        annotations = { "infra-gym/configuration" = sha256("${local.configuration}${local.program}") }
      }

      spec {
        service_account_name             = kubernetes_service_account_v1.prometheus.metadata[0].name
        enable_service_links             = false
        termination_grace_period_seconds = 10

        security_context {
          run_as_non_root = true
          run_as_user     = 65534
          run_as_group    = 65534
          fs_group        = 65534
          seccomp_profile {
            type = "RuntimeDefault"
          }
        }

        container {
          name  = local.name
          image = var.image
          command = [
            "/bin/prometheus",
            "--config.file=/etc/infra-gym/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=1d",
            "--web.listen-address=:${local.port}",
            "--log.level=warn",
          ]

          port {
            name           = "http"
            container_port = local.port
          }

          resources {
            requests = { cpu = var.cpu_request, memory = var.memory }
            limits   = { cpu = var.cpu_limit, memory = var.memory }
          }

          readiness_probe {
            http_get {
              path = "/-/ready"
              port = "http"
            }
            period_seconds = 1
          }

          liveness_probe {
            http_get {
              path = "/-/healthy"
              port = "http"
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

          volume_mount {
            name       = "configuration"
            mount_path = "/etc/infra-gym"
            read_only  = true
          }

          # Outlives the container, not the pod.
          volume_mount {
            name       = "data"
            mount_path = "/prometheus"
          }
        }

        container {
          name  = "discovery"
          image = var.discovery_image
          command = [
            "python3", "-IS", local.baked ? "/app/pod_targets.py" : "/etc/infra-gym/pod_targets.py",
            "--port", tostring(local.discovery_port),
          ]

          resources {
            requests = { cpu = "20m", memory = "64Mi" }
            limits   = { cpu = "500m", memory = "64Mi" }
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
            name       = "configuration"
            mount_path = "/etc/infra-gym"
            read_only  = true
          }
        }

        volume {
          name = "configuration"
          config_map {
            name = kubernetes_config_map_v1.configuration.metadata[0].name
          }
        }

        volume {
          name = "data"
          empty_dir {
            size_limit = var.data_size
          }
        }
      }
    }
  }
}

resource "kubernetes_service_v1" "prometheus" {
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
      target_port = "http"
    }
  }
}
