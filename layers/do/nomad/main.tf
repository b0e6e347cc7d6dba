locals {
  configuration = {
    bind_addr = "{{ GetInterfaceIP \"eth1\" }}"
    data_dir  = "/opt/nomad/data"
    acl       = { enabled = true }
    telemetry = { prometheus_metrics = true }
    # It would ask the makers of Nomad for newer versions.
    disable_update_check = true
  }
  server = merge(local.configuration, { server = { enabled = true, bootstrap_expect = 1 } })
  client = merge(local.configuration, {
    client = { enabled = true, servers = ["${digitalocean_droplet.server.ipv4_address_private}:4647"] }
  })

  program = {
    path        = "/usr/local/sbin/infra-gym-droplet"
    permissions = "0755"
    encoding    = "gz+b64"
    content     = base64gzip(file("${var.apps_folder}/droplet.sh"))
  }
}

resource "digitalocean_tag" "server" {
  name = "${var.name}:nomad-server"
}

resource "digitalocean_tag" "client" {
  name = "${var.name}:nomad-client"
}

resource "digitalocean_firewall" "server" {
  name = "${var.name}-nomad-server"
  tags = [digitalocean_tag.server.name]

  inbound_rule {
    protocol    = "tcp"
    port_range  = "22"
    source_tags = [var.bastion_tag]
  }

  # The API: through the bastion, for people.
  inbound_rule {
    protocol    = "tcp"
    port_range  = "4646"
    source_tags = [var.bastion_tag]
  }

  # Who is let in here is a client: Nomad asks for no more.
  inbound_rule {
    protocol    = "tcp"
    port_range  = "4647"
    source_tags = [digitalocean_tag.client.name]
  }
}

resource "digitalocean_firewall" "client" {
  name = "${var.name}-nomad-client"
  tags = [digitalocean_tag.client.name]

  inbound_rule {
    protocol    = "tcp"
    port_range  = "22"
    source_tags = [var.bastion_tag]
  }
}

resource "digitalocean_droplet" "server" {
  name     = "${var.name}-nomad-server"
  region   = var.region
  vpc_uuid = var.vpc_id
  size     = var.server_size
  image    = var.image
  ssh_keys = [var.ssh_key]
  tags     = [var.tag, digitalocean_tag.server.name]

  user_data = "#cloud-config\n${yamlencode({
    hostname   = "nomad-server"
    ssh_pwauth = false
    write_files = [local.program, {
      path    = "/etc/infra-gym/nomad.json"
      content = jsonencode(local.server)
    }]
    runcmd = [[local.program.path, "nomad", var.nomad_version, "server"]]
  })}"

  depends_on = [digitalocean_firewall.server]
}

resource "digitalocean_droplet" "client" {
  count    = var.clients
  name     = "${var.name}-nomad-client-${count.index}"
  region   = var.region
  vpc_uuid = var.vpc_id
  size     = var.client_size
  image    = var.image
  ssh_keys = [var.ssh_key]
  tags     = [var.tag, digitalocean_tag.client.name]

  user_data = "#cloud-config\n${yamlencode({
    hostname   = "nomad-client-${count.index}"
    ssh_pwauth = false
    write_files = [local.program, {
      path    = "/etc/infra-gym/nomad.json"
      content = jsonencode(local.client)
    }]
    runcmd = [[local.program.path, "nomad", var.nomad_version, "client"]]
  })}"

  depends_on = [digitalocean_firewall.client]
}

resource "digitalocean_project_resources" "run" {
  project   = var.project_id
  resources = concat([digitalocean_droplet.server.urn], digitalocean_droplet.client[*].urn)
}
