locals {
  # The expiry comes first, so that whoever finds the name knows what may go. The hash tells whose it is:
  # two names may join to the same text ("a-b" and "c", "a" and "b-c").
  expires = formatdate("YYYYMMDD't'hhmm'z'", timeadd(var.expires, "0s"))
  joined  = "${var.project}-${var.environment}"
  hash    = substr(sha256("${var.project}/${var.environment}"), 0, 8)
  name    = "ig-${local.expires}-${local.hash}-${trim(substr(local.joined, 0, 36), "-")}"
}

# Holds the name of the first apply: a later one has a later expiry, and nothing is made anew for it.
resource "terraform_data" "name" {
  input = local.name

  lifecycle {
    ignore_changes = [input]
  }
}

# The run's container: all that it may hold is found again through it.
resource "digitalocean_project" "run" {
  name        = terraform_data.name.output
  description = "infra-gym run ${var.project}/${var.environment}"
  purpose     = "Machine learning / AI / Data processing"
  environment = "Development"

  timeouts {
    delete = "20m"
  }
}

# A cluster takes minutes to go and stays a member until then; the provider's own limit is 2 minutes.
resource "digitalocean_vpc" "run" {
  name        = terraform_data.name.output
  description = "infra-gym run ${var.project}/${var.environment}"
  region      = var.region
  ip_range    = var.ip_range == "" ? null : var.ip_range

  timeouts {
    delete = "20m"
  }
}

# Whatever carries the tag is behind the firewall: a tag on a firewall names its targets.
resource "digitalocean_tag" "run" {
  name = terraform_data.name.output
}

# Droplets reach out, to install what they need. Nothing is let in: what a droplet is for, its own
# layer lets in, by name.
resource "digitalocean_firewall" "run" {
  name = terraform_data.name.output
  tags = [digitalocean_tag.run.name]

  dynamic "outbound_rule" {
    for_each = ["tcp", "udp"]
    content {
      protocol              = outbound_rule.value
      port_range            = "all"
      destination_addresses = ["0.0.0.0/0", "::/0"]
    }
  }
}
