locals {
  supervisor = "${var.run_folder}/supervisord.conf"
}

# One supervisor keeps the processes of all local layers; its end is the end of them all.
resource "terraform_data" "supervisor" {
  input = {
    python  = var.python
    keeper  = "${var.apps_folder}/keeper.py"
    request = jsonencode({ conf = local.supervisor })
  }
  triggers_replace = [var.python, local.supervisor]

  provisioner "local-exec" {
    interpreter = [self.input.python, "-I", self.input.keeper]
    command     = "up"
    environment = { REQUEST = self.input.request }
  }

  provisioner "local-exec" {
    when        = destroy
    interpreter = [self.input.python, "-I", self.input.keeper]
    command     = "down"
    environment = { REQUEST = self.input.request }
  }
}
