output "url" {
  description = "Where the function is called, inside the cluster."
  value       = "http://${local.name}.${var.namespace}.svc:${local.port}/function/${var.function}"
  depends_on  = [kubernetes_service_v1.gateway, kubernetes_deployment_v1.gateway]
}
