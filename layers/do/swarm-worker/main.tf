locals {
  program = {
    path        = "/usr/local/sbin/infra-gym-droplet"
    permissions = "0755"
    encoding    = "gz+b64"
    content     = base64gzip(file("${var.apps_folder}/droplet.sh"))
  }
}

resource "digitalocean_firewall" "worker" {
  name = "${var.name}-swarm-worker"
  tags = [var.worker_tag]

  inbound_rule {
    protocol    = "tcp"
    port_range  = "22"
    source_tags = [var.bastion_tag]
  }

  # Who is there.
  inbound_rule {
    protocol    = "tcp"
    port_range  = "7946"
    source_tags = [var.manager_tag, var.worker_tag]
  }

  inbound_rule {
    protocol    = "udp"
    port_range  = "7946"
    source_tags = [var.manager_tag, var.worker_tag]
  }

  # What tasks say to each other.
  inbound_rule {
    protocol    = "udp"
    port_range  = "4789"
    source_tags = [var.manager_tag, var.worker_tag]
  }
}

resource "digitalocean_droplet" "worker" {
  count    = var.workers
  name     = "${var.name}-swarm-worker-${count.index}"
  region   = var.region
  vpc_uuid = var.vpc_id
  size     = var.size
  image    = var.image
  ssh_keys = [var.ssh_key]
  tags     = [var.tag, var.worker_tag]

  # Requests that are under way are answered first.
  graceful_shutdown = true

  user_data = "#cloud-config\n${yamlencode({
    hostname    = "swarm-worker-${count.index}"
    ssh_pwauth  = false
    write_files = [local.program]
    runcmd      = [[local.program.path, "swarm-worker", var.docker_version, var.manager_address, var.consul_address]]
  })}"

  depends_on = [digitalocean_firewall.worker]
}

resource "digitalocean_project_resources" "run" {
  project   = var.project_id
  resources = digitalocean_droplet.worker[*].urn
}
