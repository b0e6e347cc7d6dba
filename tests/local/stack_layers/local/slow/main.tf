variable "seconds" {
  description = "How long the apply takes."
  type        = number
  default     = 60
}

resource "terraform_data" "slow" {
  provisioner "local-exec" {
    command     = "touch began; exec sleep $SECONDS_LONG"
    environment = { SECONDS_LONG = var.seconds }
  }
}
