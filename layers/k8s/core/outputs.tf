output "namespace" {
  description = "The namespace of the run; all other Kubernetes layers go into it."
  value       = kubernetes_namespace_v1.run.metadata[0].name
}
