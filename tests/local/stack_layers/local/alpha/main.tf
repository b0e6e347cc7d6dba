variable "size" {
  description = "Parts to make."
  type        = number
  default     = 1
}

variable "project" {
  description = "The project's name."
  type        = string
}

resource "terraform_data" "part" {
  count = var.size
  input = "${var.project} ${count.index}"
}

output "url" {
  value = "alpha:${var.size}"
}

output "key" {
  value     = "hush-${var.size}"
  sensitive = true
}
