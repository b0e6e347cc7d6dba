locals {
  program = {
    path        = "/usr/local/sbin/infra-gym-droplet"
    permissions = "0755"
    encoding    = "gz+b64"
    content     = base64gzip(file("${var.apps_folder}/droplet.sh"))
  }
}

resource "digitalocean_tag" "control_plane" {
  name = "${var.name}:control-plane"
}

# Minions come with the next layer; their tag is here, because the control plane lets them in by it.
resource "digitalocean_tag" "minion" {
  name = "${var.name}:minion"
}

resource "digitalocean_firewall" "control_plane" {
  name = "${var.name}-control-plane"
  tags = [digitalocean_tag.control_plane.name]

  inbound_rule {
    protocol    = "tcp"
    port_range  = "22"
    source_tags = [var.bastion_tag]
  }

  # The API: for minions, and through the bastion for people.
  inbound_rule {
    protocol    = "tcp"
    port_range  = "6443"
    source_tags = [var.bastion_tag, digitalocean_tag.minion.name]
  }

  # What pods say to each other.
  inbound_rule {
    protocol    = "udp"
    port_range  = "8472"
    source_tags = [digitalocean_tag.minion.name]
  }
}

resource "digitalocean_droplet" "control_plane" {
  name     = "${var.name}-control-plane"
  region   = var.region
  vpc_uuid = var.vpc_id
  size     = var.size
  image    = var.image
  ssh_keys = [var.ssh_key]
  tags     = [var.tag, digitalocean_tag.control_plane.name]

  user_data = "#cloud-config\n${yamlencode({
    hostname    = "control-plane"
    ssh_pwauth  = false
    write_files = [local.program]
    runcmd      = [[local.program.path, "control-plane", var.kubernetes_version, var.flannel_version, var.consul_address]]
  })}"

  depends_on = [digitalocean_firewall.control_plane]
}

resource "digitalocean_project_resources" "run" {
  project   = var.project_id
  resources = [digitalocean_droplet.control_plane.urn]
}
