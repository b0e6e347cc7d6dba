output "manager_address" {
  description = "Private address of the manager."
  value       = digitalocean_droplet.manager.ipv4_address_private
}

output "manager_tag" {
  description = "Tag of the manager, for firewalls that let it in."
  value       = digitalocean_tag.manager.name
}

output "worker_tag" {
  description = "Tag that workers must carry."
  value       = digitalocean_tag.worker.name
}

output "prometheus_url" {
  description = "Where Prometheus answers to watch_from."
  value       = "http://${digitalocean_droplet.manager.ipv4_address}:${local.watch_port}"
}

output "siege_engine_url" {
  description = "Where the siege engine answers to watch_from."
  value       = "http://${digitalocean_droplet.manager.ipv4_address}:${local.siege_port}"
}
