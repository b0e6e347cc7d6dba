output "url" {
  description = "Where the replicas answer, inside the cluster."
  value       = "http://${local.name}.${var.namespace}.svc:${local.port}"
  depends_on  = [kubernetes_service_v1.heater]
}

output "deployment" {
  description = "NAMESPACE/NAME of the Deployment: where the replicas are counted."
  value       = "${var.namespace}/${local.name}"
  depends_on  = [kubernetes_deployment_v1.heater]
}
