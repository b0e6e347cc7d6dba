output "url" {
  description = "Where the engine is controlled, inside the cluster: /start, /pause, /schedule, /status, /metrics."
  value       = "http://${local.name}.${var.namespace}.svc:${local.port}"
  depends_on  = [kubernetes_service_v1.engine, kubernetes_deployment_v1.engine]
}
