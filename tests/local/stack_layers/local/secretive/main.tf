variable "key" {
  description = "Alpha's key, a sensitive output."
  type        = string
}

variable "password" {
  description = "A password."
  type        = string
  sensitive   = true
}

resource "terraform_data" "lock" {
  triggers_replace = sha256("${var.key} ${var.password}")

  provisioner "local-exec" {
    command     = "printf '%s %s' \"$KEY\" \"$PASSWORD\" | wc -c > seen"
    environment = { KEY = var.key, PASSWORD = var.password }
  }
}

output "length" {
  value = nonsensitive(length(var.password))
}
