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
  description = "Replicas that run; 0 is none, and calls wait at the gateway."
  type        = number
  default     = 1

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
  description = "Calls that a replica serves at once."
  type        = number
  default     = 2
}

variable "service_time_s" {
  description = "Seconds that a call takes."
  type        = number
  default     = 0.5
}

variable "queue_limit" {
  description = "Calls that may wait in a replica; one more gets 429."
  type        = number
  default     = 8
}

variable "cpu_s" {
  description = "Seconds of processor time that a call burns; the rest of its time is a wait."
  type        = number
  default     = 0.01
}

variable "memory_mib" {
  description = "Memory that a call holds, in MiB."
  type        = number
  default     = 4
}

variable "cpu_request" {
  description = "Cores that a replica requests: what its use is measured against. Nothing enforces it."
  type        = number
  default     = 0.1
}

variable "memory_request_mib" {
  description = "Memory that a replica requests, in MiB: what its use is measured against."
  type        = number
  default     = 64
}

variable "drain_s" {
  description = "Seconds that a replica still takes calls after it was told to stop."
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
