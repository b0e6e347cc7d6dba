locals {
  program = {
    path        = "/usr/local/sbin/infra-gym-droplet"
    permissions = "0755"
    encoding    = "gz+b64"
    content     = base64gzip(file("${var.apps_folder}/droplet.sh"))
  }
}

resource "digitalocean_firewall" "minion" {
  name = "${var.name}-minion"
  tags = [var.minion_tag]

  inbound_rule {
    protocol    = "tcp"
    port_range  = "22"
    source_tags = [var.bastion_tag]
  }

  # The kubelet: for logs, exec and the API's proxy.
  inbound_rule {
    protocol    = "tcp"
    port_range  = "10250"
    source_tags = [var.control_plane_tag]
  }

  # What pods say to each other.
  inbound_rule {
    protocol    = "udp"
    port_range  = "8472"
    source_tags = [var.control_plane_tag, var.minion_tag]
  }
}

resource "digitalocean_droplet" "minion" {
  count    = var.minions
  name     = "${var.name}-minion-${count.index}"
  region   = var.region
  vpc_uuid = var.vpc_id
  size     = var.size
  image    = var.image
  ssh_keys = [var.ssh_key]
  tags     = [var.tag, var.minion_tag]

  user_data = "#cloud-config\n${yamlencode({
    hostname    = "minion-${count.index}"
    ssh_pwauth  = false
    write_files = [local.program]
    runcmd      = [[local.program.path, "minion", var.kubernetes_version, var.control_plane_address, var.consul_address]]
  })}"

  depends_on = [digitalocean_firewall.minion]
}

resource "digitalocean_project_resources" "run" {
  project   = var.project_id
  resources = digitalocean_droplet.minion[*].urn
}
