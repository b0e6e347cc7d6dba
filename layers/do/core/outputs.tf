output "name" {
  description = "What the names of all things of the run begin with."
  value       = terraform_data.name.output
}

output "region" {
  description = "DigitalOcean region."
  value       = digitalocean_vpc.run.region
}

output "project_id" {
  description = "DigitalOcean project that holds the run."
  value       = digitalocean_project.run.id
}

output "vpc_id" {
  description = "VPC of the run."
  value       = digitalocean_vpc.run.id
}

output "tag" {
  description = "Tag that puts a droplet behind the run's firewall."
  value       = digitalocean_tag.run.name
}
