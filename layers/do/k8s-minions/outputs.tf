output "minion_addresses" {
  description = "Private addresses of the minions."
  value       = digitalocean_droplet.minion[*].ipv4_address_private
}
