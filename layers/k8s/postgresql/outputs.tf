output "address" {
  description = "HOST:PORT where the database answers, inside the cluster."
  value       = "${local.name}.${var.namespace}.svc:${local.port}"
  depends_on  = [kubernetes_service_v1.postgresql]
}

output "secret" {
  description = "Name of the Secret with the keys username, password and database."
  value       = local.name
  depends_on  = [kubernetes_secret_v1.login]
}

output "deployment" {
  description = "NAMESPACE/NAME of the Deployment: where the pod is counted."
  value       = "${var.namespace}/${local.name}"
  depends_on  = [kubernetes_deployment_v1.postgresql]
}
