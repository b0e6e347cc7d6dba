variable "project" {
  description = "First part of the namespace's name; 1 to 40 lower-case letters, digits or dashes."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$", var.project))
    error_message = "project must be 1 to 40 lower-case letters, digits or dashes, no dash at an end."
  }
}

variable "environment" {
  description = "Second part of the namespace's name; 1 to 40 lower-case letters, digits or dashes."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$", var.environment))
    error_message = "environment must be 1 to 40 lower-case letters, digits or dashes, no dash at an end."
  }
}

variable "owner" {
  description = "Who makes it, such as user@host: an annotation of the namespace, for people."
  type        = string
}

variable "expires" {
  description = "When it counts as forgotten (RFC 3339): an annotation of the namespace, for people."
  type        = string
}
