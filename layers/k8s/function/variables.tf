variable "namespace" {
  description = "Namespace of the run (output of k8s/core)."
  type        = string
}

variable "apps_folder" {
  description = "Folder of infra-gym's programs (infra_gym/apps); \"\" where the image has /app/function.py."
  type        = string
}

variable "image" {
  description = "Image with python3; pinned, public, so that nothing has to be built for a first run."
  type        = string
  default     = "python:3.12-slim"
}

variable "replicas" {
  description = "Pods that are wanted; 0 is none, and calls wait at the gateway."
  type        = number
  default     = 1

  validation {
    condition     = var.replicas >= 0 && floor(var.replicas) == var.replicas
    error_message = "replicas must be a whole number of at least 0."
  }
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
  description = "Cores that a pod requests, to be placed, and what its use is measured against."
  type        = number
  default     = 0.1
}

variable "memory_request_mib" {
  description = "Memory that a pod requests, in MiB, to be placed, and what its use is measured against."
  type        = number
  default     = 64
}

variable "drain_s" {
  description = "Seconds that a replica still takes calls after it was told to stop."
  type        = number
  default     = 3
}

variable "start_delay_s" {
  description = "Seconds that a replica takes to boot."
  type        = number
  default     = 0
}

variable "cpu_limit" {
  description = "Processor time that a pod gets at most, such as 500m."
  type        = string
  default     = "500m"
}

variable "memory_limit" {
  description = "Memory that a pod gets at most, such as 128Mi."
  type        = string
  default     = "128Mi"
}
