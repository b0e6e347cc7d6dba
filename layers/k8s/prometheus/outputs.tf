output "url" {
  description = "Where Prometheus answers, inside the cluster."
  value       = "http://${local.name}.${var.namespace}.svc:${local.port}"
  depends_on  = [kubernetes_service_v1.prometheus, kubernetes_deployment_v1.prometheus]
}
