output "url" {
  description = "Where the replicas answer: a URL whose port is a range, one port a replica."
  value       = "http://127.0.0.1:${var.port}-${var.port + var.max_replicas - 1}"
  depends_on  = [terraform_data.replica]
}

output "targets" {
  description = "HOST:PORT of every replica that may run, for Prometheus."
  value       = [for program in local.programs : "127.0.0.1:${program.port}"]
}
