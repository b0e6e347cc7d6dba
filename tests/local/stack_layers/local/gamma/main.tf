variable "fail" {
  description = "Whether the destroy fails."
  type        = bool
  default     = false
}

resource "terraform_data" "alone" {
  input = var.fail

  provisioner "local-exec" {
    when    = destroy
    command = "test ${self.input} = false || test -e ../../may-go"
  }
}

output "name" {
  value = "gamma"
}
