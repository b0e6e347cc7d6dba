output "bastion_address" {
  description = "Public address of the bastion: ssh -J root@BASTION root@INSIDE."
  value       = digitalocean_droplet.bastion.ipv4_address
}

output "bastion_tag" {
  description = "Tag of the bastion, for firewalls that let it in."
  value       = digitalocean_tag.bastion.name
}

output "consul_address" {
  description = "Private address of the Consul server; it answers on port 8500."
  value       = digitalocean_droplet.consul.ipv4_address_private
}

output "ssh_from" {
  description = "CIDR blocks from which the bastion takes SSH."
  value       = var.ssh_from
}

output "ssh_key" {
  description = "Fingerprint of the key that may log in."
  value       = digitalocean_ssh_key.run.fingerprint
}
