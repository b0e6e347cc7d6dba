variable "supervisor" {
  description = "Path of the supervisor's configuration (output of local/core)."
  type        = string
}

variable "python" {
  description = "Python interpreter (output of local/core)."
  type        = string
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps)."
  type        = string
}

variable "port" {
  description = "Port of the first replica on 127.0.0.1; the others follow it, max_replicas in all."
  type        = number
}

variable "replicas" {
  description = "Replicas that run."
  type        = number
  default     = 2

  validation {
    condition     = var.replicas >= 0 && floor(var.replicas) == var.replicas
    error_message = "replicas must be a whole number of at least 0."
  }
}

variable "max_replicas" {
  description = "Replicas that may ever run; fixes the range of ports."
  type        = number
  default     = 10
}

variable "slots" {
  description = "Requests that a replica serves at once."
  type        = number
  default     = 4
}

variable "service_time_s" {
  description = "Seconds that a request takes, or their mean."
  type        = number
  default     = 0.1
}

variable "service" {
  description = "Whether services take equally long: constant, or exponential (drawn, seeded by the port)."
  type        = string
  default     = "constant"

  validation {
    condition     = contains(["constant", "exponential"], var.service)
    error_message = "service must be constant or exponential."
  }
}

variable "queue_limit" {
  description = "Requests that may wait in a replica; one more gets 503."
  type        = number
  default     = 64
}

variable "work" {
  description = "What a request does: wait, or cpu (burn processor time)."
  type        = string
  default     = "wait"

  validation {
    condition     = contains(["wait", "cpu"], var.work)
    error_message = "work must be wait or cpu."
  }
}

variable "drain_s" {
  description = "Seconds that a replica still takes requests after it was told to stop."
  type        = number
  default     = 1
}

variable "start_delay_s" {
  description = "Seconds that a replica takes to boot."
  type        = number
  default     = 0
}

variable "repair" {
  description = "Raise it to start what should run and does not, and to stop what should not."
  type        = number
  default     = 0
}
