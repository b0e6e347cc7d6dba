output "worker_addresses" {
  description = "Private addresses of the workers."
  value       = digitalocean_droplet.worker[*].ipv4_address_private
}
