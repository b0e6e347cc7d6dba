variable "ticket" {
  description = "Beta's ticket."
  type        = string
}

resource "terraform_data" "end" {
  input = var.ticket
}
