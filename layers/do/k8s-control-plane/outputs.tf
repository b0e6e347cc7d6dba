output "control_plane_address" {
  description = "Private address of the control plane; its API answers on port 6443."
  value       = digitalocean_droplet.control_plane.ipv4_address_private
}

output "control_plane_tag" {
  description = "Tag of the control plane, for firewalls that let it in."
  value       = digitalocean_tag.control_plane.name
}

output "minion_tag" {
  description = "Tag that minions must carry."
  value       = digitalocean_tag.minion.name
}
