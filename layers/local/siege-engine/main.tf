locals {
  name   = "siege-engine"
  keeper = "${var.apps_folder}/keeper.py"

  # A copy of its own: what it plays after a crash is what was loaded last.
  copy = "programs/${local.name}/schedule"

  program = {
    name = local.name
    port = var.port
    wait = true
    command = [
      var.python, "-IS", "${var.apps_folder}/siege_engine.py",
      "--port", tostring(var.port),
      "--target", var.target,
      "--schedule", local.copy,
      "--timeout", tostring(var.timeout_s),
      "--max-in-flight", tostring(var.max_in_flight),
    ]
  }
}

resource "terraform_data" "engine" {
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

# Another schedule is loaded into the running engine, whose counters go on.
resource "terraform_data" "schedule" {
  triggers_replace = [
    terraform_data.engine.id,
    fileexists(var.schedule) ? filesha256(var.schedule) : "missing",
  ]

  provisioner "local-exec" {
    interpreter = [var.python, "-IS", "${path.module}/load_schedule.py"]
    command     = var.schedule
    environment = {
      COPY = "${var.run_folder}/${local.copy}"
      PORT = var.port
    }
  }
}
