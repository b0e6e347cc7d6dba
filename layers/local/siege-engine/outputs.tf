output "url" {
  description = "Where the engine is controlled: /start, /pause, /schedule, /status, /metrics."
  value       = "http://127.0.0.1:${var.port}"
  depends_on  = [terraform_data.schedule]
}

output "targets" {
  description = "HOST:PORT of its metrics, for Prometheus."
  value       = ["127.0.0.1:${var.port}"]
}
