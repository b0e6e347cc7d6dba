variable "seconds" {
  description = "How long the apply takes."
  type        = number
  default     = 60
}

variable "stubborn" {
  description = "Whether the command ignores a gentle interrupt."
  type        = bool
  default     = false
}

resource "terraform_data" "slow" {
  provisioner "local-exec" {
    command     = "$STUBBORN && trap '' INT; touch began; sleep $SECONDS_LONG & wait $!; wait $!"
    environment = { STUBBORN = var.stubborn, SECONDS_LONG = var.seconds }
  }
}
