variable "project" {
  description = "First part of all names; 1 to 40 lower-case letters, digits or dashes."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$", var.project))
    error_message = "project must be 1 to 40 lower-case letters, digits or dashes, no dash at an end."
  }
}

variable "environment" {
  description = "Second part of all names; 1 to 40 lower-case letters, digits or dashes."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$", var.environment))
    error_message = "environment must be 1 to 40 lower-case letters, digits or dashes, no dash at an end."
  }
}

variable "expires" {
  description = "When the run counts as forgotten (RFC 3339, in UTC); becomes part of all names."
  type        = string

  validation {
    condition     = can(timeadd(var.expires, "0s")) && can(regex("(Z|[+]00:00)$", var.expires))
    error_message = "expires must be a time in UTC such as 2026-11-28T12:00:00Z."
  }
}

variable "region" {
  description = "DigitalOcean region."
  type        = string
  default     = "nyc3"
}

variable "ip_range" {
  description = "Private addresses of the VPC, as a CIDR block; \"\" lets DigitalOcean choose."
  type        = string
  default     = ""
}
