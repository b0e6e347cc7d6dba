output "url" {
  description = "Where OpenFaaS's gateway calls the function, inside the cluster."
  value       = "${var.openfaas_gateway}/function/${var.function}"
  depends_on  = [kubernetes_service_v1.function, kubernetes_deployment_v1.relay]
}

output "deployment" {
  description = "NAMESPACE/NAME of the Deployment: where the replicas are counted."
  value       = "${var.function_namespace}/${var.function}"
  depends_on  = [kubernetes_deployment_v1.function]
}
