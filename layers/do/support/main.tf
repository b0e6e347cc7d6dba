locals {
  # Both take what they are from the same program; it and all else in here is no secret.
  program = {
    path        = "/usr/local/sbin/infra-gym-droplet"
    permissions = "0755"
    encoding    = "gz+b64"
    content     = base64gzip(file("${var.apps_folder}/droplet.sh"))
  }
}

resource "digitalocean_ssh_key" "run" {
  name       = var.name
  public_key = trimspace(var.ssh_public_key)
}

resource "digitalocean_tag" "bastion" {
  name = "${var.name}:bastion"
}

resource "digitalocean_tag" "consul" {
  name = "${var.name}:consul"
}

# The one door: nothing else of the run takes SSH from outside.
resource "digitalocean_firewall" "bastion" {
  name = "${var.name}-bastion"
  tags = [digitalocean_tag.bastion.name]

  inbound_rule {
    protocol         = "tcp"
    port_range       = "22"
    source_addresses = var.ssh_from
  }
}

resource "digitalocean_firewall" "consul" {
  name = "${var.name}-consul"
  tags = [digitalocean_tag.consul.name]

  inbound_rule {
    protocol    = "tcp"
    port_range  = "22"
    source_tags = [digitalocean_tag.bastion.name]
  }

  # Of all droplets of the run; containers on them are kept away by the droplets themselves.
  inbound_rule {
    protocol    = "tcp"
    port_range  = "8500"
    source_tags = [var.tag]
  }
}

resource "digitalocean_droplet" "bastion" {
  name     = "${var.name}-bastion"
  region   = var.region
  vpc_uuid = var.vpc_id
  size     = var.bastion_size
  image    = var.image
  ssh_keys = [digitalocean_ssh_key.run.fingerprint]
  tags     = [var.tag, digitalocean_tag.bastion.name]

  user_data = "#cloud-config\n${yamlencode({
    hostname   = "bastion"
    ssh_pwauth = false
  })}"

  # Closed before it is there.
  depends_on = [digitalocean_firewall.bastion]
}

resource "digitalocean_droplet" "consul" {
  name     = "${var.name}-consul"
  region   = var.region
  vpc_uuid = var.vpc_id
  size     = var.consul_size
  image    = var.image
  ssh_keys = [digitalocean_ssh_key.run.fingerprint]
  tags     = [var.tag, digitalocean_tag.consul.name]

  user_data = "#cloud-config\n${yamlencode({
    hostname    = "consul"
    ssh_pwauth  = false
    write_files = [local.program]
    runcmd      = [[local.program.path, "consul", var.consul_version]]
  })}"

  depends_on = [digitalocean_firewall.consul]
}

resource "digitalocean_project_resources" "run" {
  project   = var.project_id
  resources = [digitalocean_droplet.bastion.urn, digitalocean_droplet.consul.urn]
}
