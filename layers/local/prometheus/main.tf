locals {
  name   = "prometheus"
  keeper = "${var.apps_folder}/keeper.py"

  # Static targets, also for replicas that do not run yet (their `up` is 0): discovery from files
  # would show a new one only after 4 to 6 seconds.
  configuration = yamlencode({
    global = {
      scrape_interval = "${floor(var.scrape_interval_s * 1000)}ms"
      scrape_timeout  = "${floor(var.scrape_interval_s * 1000)}ms"
    }
    scrape_configs = [for job, targets in var.targets : {
      job_name       = job
      static_configs = [{ targets = targets }]
    }]
  })

  program = {
    name  = local.name
    port  = var.port
    wait  = true
    files = { "prometheus.yml" = local.configuration }
    command = [
      var.prometheus,
      "--config.file=programs/${local.name}/prometheus.yml",
      "--storage.tsdb.path=programs/${local.name}/data",
      "--storage.tsdb.retention.time=1d",
      "--web.listen-address=127.0.0.1:${var.port}",
      "--log.level=warn",
    ]
  }
}

resource "terraform_data" "prometheus" {
  input = {
    python = var.python
    keeper = local.keeper
    start  = jsonencode({ conf = var.supervisor, programs = [local.program] })
    stop   = jsonencode({ conf = var.supervisor, names = [local.name] })
  }
  triggers_replace = [var.supervisor, local.program]

  provisioner "local-exec" {
    interpreter = [self.input.python, "-IS", self.input.keeper]
    command     = "start"
    environment = { REQUEST = self.input.start }
  }

  provisioner "local-exec" {
    when        = destroy
    interpreter = [self.input.python, "-IS", self.input.keeper]
    command     = "stop"
    environment = { REQUEST = self.input.stop }
  }
}
