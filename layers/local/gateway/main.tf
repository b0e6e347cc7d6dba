locals {
  name   = "gateway"
  keeper = "${var.apps_folder}/keeper.py"

  program = {
    name = local.name
    port = var.port
    wait = true
    command = [
      var.python, "-IS", "${var.apps_folder}/gateway.py",
      "--port", tostring(var.port),
      "--function", "${var.function}.${var.namespace_label}",
      "--upstream", var.upstream,
      "--timeout", tostring(var.timeout_s),
    ]
  }
}

resource "terraform_data" "gateway" {
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
