output "server_address" {
  description = "Private address of the server; its API answers on port 4646."
  value       = digitalocean_droplet.server.ipv4_address_private
}

output "client_addresses" {
  description = "Private addresses of the clients."
  value       = digitalocean_droplet.client[*].ipv4_address_private
}
