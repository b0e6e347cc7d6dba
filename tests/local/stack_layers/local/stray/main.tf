variable "run_folder" {
  description = "Where processes live."
  type        = string
}

variable "port" {
  description = "First of a block of ports."
  type        = number
}

resource "terraform_data" "process" {
  provisioner "local-exec" {
    command     = "mkdir -p \"$WHERE\"; cd \"$WHERE\"; nohup sleep 300 >/dev/null 2>&1 &"
    environment = { WHERE = var.run_folder }
  }
}

output "port" {
  value = var.port
}
