locals {
  heater_port = 8080
  siege_port  = 8081
  watch_port  = 9090
  scrape      = "${floor(var.scrape_interval_s * 1000)}ms"
  python      = "python:3.12-slim"

  # Tasks are found by their addresses in the network of the app, which come and go with workers. A
  # job has the name of the layer that decides how many there are.
  scraped = [
    { job = "swarm-worker", service = "heater", port = local.heater_port },
    { job = "siege-engine", service = "siege-engine", port = local.siege_port },
  ]

  prometheus = yamlencode({
    global = { scrape_interval = local.scrape, scrape_timeout = local.scrape }
    scrape_configs = [for one in local.scraped : {
      job_name       = one.job
      dns_sd_configs = [{ names = ["tasks.${one.service}"], type = "A", port = one.port, refresh_interval = "1s" }]
    }]
  })

  # What runs on the manager alone, at a port of its own.
  on_manager = {
    mode      = "replicated"
    replicas  = 1
    placement = { constraints = ["node.role == manager"] }
  }

  stack = {
    networks = { app = { driver = "overlay" } }
    configs = {
      heater     = { file = "/etc/infra-gym/heater.py" }
      siege      = { file = "/etc/infra-gym/siege_engine.py" }
      prometheus = { file = "/etc/infra-gym/prometheus.yml" }
    }
    services = {
      heater = {
        image   = local.python
        user    = "65532:65532"
        configs = [{ source = "heater", target = "/app/heater.py" }]
        command = [
          "python3", "-IS", "/app/heater.py",
          "--host", "0.0.0.0",
          "--port", tostring(local.heater_port),
          "--slots", tostring(var.slots),
          "--service-time", tostring(var.service_time_s),
          "--queue-limit", tostring(var.queue_limit),
          "--drain", "3",
        ]
        networks          = ["app"]
        stop_grace_period = "30s"
        # A replica for each worker; none gets requests before it is healthy.
        deploy = {
          mode      = "global"
          placement = { constraints = ["node.role == worker"] }
        }
        healthcheck = {
          test = ["CMD", "python3", "-IS", "-c",
          "import urllib.request as u; u.urlopen('http://127.0.0.1:${local.heater_port}/ready', timeout=2)"]
          interval = "2s"
          timeout  = "3s"
          retries  = 3
        }
      }
      siege-engine = {
        image   = local.python
        user    = "65532:65532"
        configs = [{ source = "siege", target = "/app/siege_engine.py" }]
        command = [
          "python3", "-IS", "/app/siege_engine.py",
          "--host", "0.0.0.0",
          "--port", tostring(local.siege_port),
          "--target", "http://heater:${local.heater_port}",
          "--timeout", tostring(var.timeout_s),
          "--max-in-flight", tostring(var.max_in_flight),
        ]
        networks = ["app"]
        ports    = [{ target = local.siege_port, published = local.siege_port, mode = "host" }]
        deploy   = local.on_manager
      }
      prometheus = {
        image   = "prom/prometheus:v3.5.0"
        configs = [{ source = "prometheus", target = "/etc/prometheus/prometheus.yml" }]
        command = [
          "--config.file=/etc/prometheus/prometheus.yml",
          "--storage.tsdb.path=/prometheus",
          "--storage.tsdb.retention.time=1d",
          "--web.listen-address=:${local.watch_port}",
          "--log.level=warn",
        ]
        networks = ["app"]
        ports    = [{ target = local.watch_port, published = local.watch_port, mode = "host" }]
        deploy   = local.on_manager
      }
    }
  }

  files = {
    "stack.yaml"      = yamlencode(local.stack)
    "prometheus.yml"  = local.prometheus
    "heater.py"       = file("${var.apps_folder}/heater.py")
    "siege_engine.py" = file("${var.apps_folder}/siege_engine.py")
  }

  program = {
    path        = "/usr/local/sbin/infra-gym-droplet"
    permissions = "0755"
    encoding    = "gz+b64"
    content     = base64gzip(file("${var.apps_folder}/droplet.sh"))
  }
}

resource "digitalocean_tag" "manager" {
  name = "${var.name}:swarm-manager"
}

# Workers come with the next layer; their tag is here, because the manager lets them in by it.
resource "digitalocean_tag" "worker" {
  name = "${var.name}:swarm-worker"
}

resource "digitalocean_firewall" "manager" {
  name = "${var.name}-swarm-manager"
  tags = [digitalocean_tag.manager.name]

  inbound_rule {
    protocol    = "tcp"
    port_range  = "22"
    source_tags = [var.bastion_tag]
  }

  # Joining, and orders.
  inbound_rule {
    protocol    = "tcp"
    port_range  = "2377"
    source_tags = [digitalocean_tag.worker.name]
  }

  # Who is there.
  inbound_rule {
    protocol    = "tcp"
    port_range  = "7946"
    source_tags = [digitalocean_tag.worker.name]
  }

  inbound_rule {
    protocol    = "udp"
    port_range  = "7946"
    source_tags = [digitalocean_tag.worker.name]
  }

  # What tasks say to each other.
  inbound_rule {
    protocol    = "udp"
    port_range  = "4789"
    source_tags = [digitalocean_tag.worker.name]
  }

  # Neither asks who is there: hence the named ranges.
  inbound_rule {
    protocol         = "tcp"
    port_range       = local.watch_port
    source_addresses = var.watch_from
  }

  inbound_rule {
    protocol         = "tcp"
    port_range       = local.siege_port
    source_addresses = var.watch_from
  }
}

resource "digitalocean_droplet" "manager" {
  name     = "${var.name}-swarm-manager"
  region   = var.region
  vpc_uuid = var.vpc_id
  size     = var.size
  image    = var.image
  ssh_keys = [var.ssh_key]
  tags     = [var.tag, digitalocean_tag.manager.name]

  user_data = "#cloud-config\n${yamlencode({
    hostname   = "swarm-manager"
    ssh_pwauth = false
    write_files = concat([local.program], [for name, content in local.files : {
      path     = "/etc/infra-gym/${name}"
      encoding = "gz+b64"
      content  = base64gzip(content)
    }])
    runcmd = [[local.program.path, "swarm-manager", var.docker_version, var.consul_address]]
  })}"

  depends_on = [digitalocean_firewall.manager]
}

resource "digitalocean_project_resources" "run" {
  project   = var.project_id
  resources = [digitalocean_droplet.manager.urn]
}
