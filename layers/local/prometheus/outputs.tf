output "url" {
  description = "Where Prometheus answers."
  value       = "http://127.0.0.1:${var.port}"
  depends_on  = [terraform_data.prometheus]
}
