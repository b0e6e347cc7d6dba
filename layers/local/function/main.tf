locals {
  keeper = "${var.apps_folder}/keeper.py"

  # Every replica that there may be; the first var.replicas of them run.
  programs = [for index in range(var.max_replicas) : {
    name = "function-${index}"
    port = var.port + index
    command = [
      var.python, "-IS", "${var.apps_folder}/function.py",
      "--port", tostring(var.port + index),
      "--slots", tostring(var.slots),
      "--service-time", tostring(var.service_time_s),
      "--queue-limit", tostring(var.queue_limit),
      "--cpu", tostring(var.cpu_s),
      "--memory", tostring(var.memory_mib),
      "--cpu-request", tostring(var.cpu_request),
      "--memory-request", tostring(var.memory_request_mib),
      "--drain", tostring(var.drain_s),
      "--start-delay", tostring(var.start_delay_s),
    ]
  }]
}

# Its destruction waits for replicas that are still finishing requests; theirs does not, so that
# removing one does not hold up a step.
resource "terraform_data" "service" {
  input = {
    python  = var.python
    keeper  = local.keeper
    request = jsonencode({ conf = var.supervisor, names = local.programs[*].name })
  }
  triggers_replace = [var.supervisor]

  lifecycle {
    precondition {
      condition     = var.replicas <= var.max_replicas
      error_message = "replicas must not be above max_replicas."
    }
  }

  provisioner "local-exec" {
    when        = destroy
    interpreter = [self.input.python, "-IS", self.input.keeper]
    command     = "stop"
    environment = { REQUEST = self.input.request }
  }
}

resource "terraform_data" "replica" {
  count = var.replicas

  input = {
    python = var.python
    keeper = local.keeper
    start  = jsonencode({ conf = var.supervisor, programs = [local.programs[count.index]] })
    retire = jsonencode({ conf = var.supervisor, names = [local.programs[count.index].name] })
  }
  triggers_replace = [var.supervisor, local.programs[count.index]]
  depends_on       = [terraform_data.service]

  provisioner "local-exec" {
    interpreter = [self.input.python, "-IS", self.input.keeper]
    command     = "start"
    environment = { REQUEST = self.input.start }
  }

  provisioner "local-exec" {
    when        = destroy
    interpreter = [self.input.python, "-IS", self.input.keeper]
    command     = "retire"
    environment = { REQUEST = self.input.retire }
  }
}

# Compares what runs with what should run, each time var.repair is raised: Terraform does not see
# that a replica is gone, or that one is there which a killed apply has started.
resource "terraform_data" "repair" {
  count = var.repair > 0 ? 1 : 0

  triggers_replace = [var.repair]
  depends_on       = [terraform_data.replica]

  provisioner "local-exec" {
    interpreter = [var.python, "-IS", local.keeper]
    command     = "start"
    environment = {
      REQUEST = jsonencode({
        conf     = var.supervisor
        programs = slice(local.programs, 0, var.replicas)
        surplus  = slice(local.programs, var.replicas, var.max_replicas)[*].name
      })
    }
  }
}
