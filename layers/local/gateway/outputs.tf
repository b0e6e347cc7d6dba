output "url" {
  description = "Where the function is called."
  value       = "http://127.0.0.1:${var.port}/function/${var.function}"
  depends_on  = [terraform_data.gateway]
}

output "targets" {
  description = "HOST:PORT of its metrics, for Prometheus."
  value       = ["127.0.0.1:${var.port}"]
}
