# Variables without a default take the output of the same name of an earlier layer, or the run's own
# value (project, environment, run_folder and others).
variable "project" {
  description = "First part of every name."
  type        = string
}

variable "environment" {
  description = "Second part of every name."
  type        = string
}

variable "replicas" {
  description = "How many there are; a control of an environment may set it."
  type        = number
  default     = 1
}
