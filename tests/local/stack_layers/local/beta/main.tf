variable "url" {
  description = "Alpha's address."
  type        = string
}

variable "replicas" {
  description = "Replicas to make."
  type        = number
  default     = 1
}

variable "fail" {
  description = "Whether the apply fails half-way."
  type        = bool
  default     = false
}

resource "terraform_data" "replica" {
  count = var.replicas
  input = var.url
}

resource "terraform_data" "check" {
  count      = var.fail ? 1 : 0
  depends_on = [terraform_data.replica]

  provisioner "local-exec" {
    command = "echo the cause; exit 3"
  }
}

output "ticket" {
  value = "${var.url}/${var.replicas}"
}
